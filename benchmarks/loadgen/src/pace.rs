//! When calls go out: as soon as the one before is answered, or at a rate whatever the server does.

use std::cell::RefCell;
use std::os::fd::OwnedFd;
use std::rc::Rc;
use std::time::{Duration, Instant};

use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create, timerfd_settime,
};
use tokio::io::unix::AsyncFd;
use tokio::task::{JoinSet, yield_now};

use crate::people::Draw;
use crate::tally::{Failure, Schedule, Tally};
use crate::wire::Outcomes;

/// A server that refuses connections is not asked again at once.
pub const AFTER_FAILURE: Duration = Duration::from_millis(10);
/// Calls that go out one after another before answers are looked at.
const BURST: u64 = 16;

pub type Counted = Rc<RefCell<Tally>>;

/// One connection on which calls are made.
pub trait Caller: 'static {
    type Request: 'static;
    fn prepare(&self, draw: &mut Draw) -> Self::Request;
    async fn call(&self, request: Self::Request) -> Result<Outcomes, Failure>;
}

/// Keep `in_flight` calls under way on each connection until the end.
pub async fn closed_loop<C: Caller>(
    callers: &[Rc<C>],
    in_flight: usize,
    draw_of: impl Fn(u64) -> Draw,
    schedule: Schedule,
    tally: &Counted,
) {
    let mut lanes = JoinSet::new();
    for (number, caller) in (0..).zip(callers.iter().flat_map(|caller| vec![caller; in_flight])) {
        let (caller, mut draw, tally) = (Rc::clone(caller), draw_of(number), Rc::clone(tally));
        lanes.spawn_local(async move {
            while Instant::now() < schedule.end {
                let request = caller.prepare(&mut draw);
                tally.borrow_mut().sent(None);
                let sent = Instant::now();
                let result = caller.call(request).await;
                let failed = result.is_err();
                tally.borrow_mut().ended(sent, Instant::now(), result);
                if failed {
                    tokio::time::sleep(AFTER_FAILURE).await;
                }
            }
        });
    }
    while lanes.join_next().await.is_some() {}
}

/// One thread's part of a rate: calls number `first`, `first + step`, … are due at `per_second` from the begin on.
#[derive(Clone, Copy, Debug)]
pub struct Rate {
    pub per_second: u32,
    pub first: u64,
    pub step: u64,
}

impl Rate {
    /// When call `number` is due after the begin; exact over any length, as no interval is added up.
    pub fn due(self, number: u64) -> Duration {
        let (rate, nanoseconds) = (u128::from(self.per_second), u128::from(number) * 1_000_000_000);
        Duration::from_nanos(u64::try_from(nanoseconds / rate).unwrap_or(u64::MAX))
    }
}

/// Send each call when it is due, whatever has been answered; the connections take turns.
pub async fn open_loop<C: Caller>(
    callers: &[Rc<C>],
    rate: Rate,
    mut draw: Draw,
    schedule: Schedule,
    tally: &Counted,
) -> Result<(), std::io::Error> {
    let alarm = Alarm::new()?;
    let (mut calls, mut number) = (JoinSet::new(), rate.first);
    for caller in callers.iter().cycle() {
        let due = schedule.begin + rate.due(number);
        if due >= schedule.end {
            break;
        }
        alarm.wait_until(due).await?;
        let (request, caller, ended) = (caller.prepare(&mut draw), Rc::clone(caller), Rc::clone(tally));
        tally.borrow_mut().sent(Some(due.elapsed()));
        calls.spawn_local(async move {
            let result = caller.call(request).await;
            ended.borrow_mut().ended(due, Instant::now(), result);
        });
        number += rate.step;
        if (number / rate.step).is_multiple_of(BURST) {
            yield_now().await;
            while calls.try_join_next().is_some() {}
        }
    }
    while calls.join_next().await.is_some() {}
    Ok(())
}

/// The kernel's timer: tokio's own rounds to a millisecond, three times the latency that is to be measured.
pub struct Alarm(AsyncFd<OwnedFd>);

impl Alarm {
    // Its successor `register` is unsafe, as a file might be closed while it is registered: this one is owned by the
    // registration to its end.
    #[expect(deprecated, reason = "the successor needs unsafe code, for a promise that is kept here")]
    pub fn new() -> std::io::Result<Self> {
        let flags = TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC;
        AsyncFd::new(timerfd_create(TimerfdClockId::Monotonic, flags)?).map(Self)
    }

    pub async fn wait_until(&self, due: Instant) -> std::io::Result<()> {
        let left = due.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Ok(());
        }
        let once = Timespec { tv_sec: 0, tv_nsec: 0 };
        let after = Timespec {
            tv_sec: i64::try_from(left.as_secs()).unwrap_or(i64::MAX),
            tv_nsec: i64::from(left.subsec_nanos()),
        };
        let timer = Itimerspec { it_interval: once, it_value: after };
        timerfd_settime(self.0.get_ref(), TimerfdTimerFlags::empty(), &timer)?;
        loop {
            let mut ready = self.0.readable().await?;
            let read = |alarm: &AsyncFd<OwnedFd>| Ok(rustix::io::read(alarm.get_ref(), &mut [0_u8; 8])?);
            if let Ok(read) = ready.try_io(read) {
                return read.map(drop);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_that_divides_no_second_drifts_by_nothing() {
        let rate = Rate { per_second: 7_000, first: 0, step: 1 };
        assert_eq!(rate.due(7_000 * 3_600), Duration::from_secs(3_600));
        assert_eq!(rate.due(1), Duration::from_nanos(142_857));
    }

    #[tokio::test]
    async fn the_alarm_rings_no_earlier_and_hardly_later() {
        let alarm = Alarm::new().unwrap();
        for _ in 0..3 {
            let due = Instant::now() + Duration::from_micros(300);
            alarm.wait_until(due).await.unwrap();
            assert!(Instant::now() >= due && due.elapsed() < Duration::from_millis(500));
        }
    }
}
