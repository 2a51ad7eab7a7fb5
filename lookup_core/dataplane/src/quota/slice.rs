//! What this replica holds of one key's budget, who waits for more, and its own share for bad times.

use std::collections::VecDeque;
use std::marker::PhantomData;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::oneshot::{self, Receiver, Sender};

use crate::budgets::{Budget, Given, Rules, Take, Verdict, WaitMs};
use crate::clock::BootInstant;

/// One key's budget at this replica, shared by all runtimes. Its lock is held for arithmetic only.
pub struct Slice<R: Rules> {
    pub key_id: Arc<str>,
    pub budget: Budget,
    pub limit: u32,
    state: Mutex<State>,
    rules: PhantomData<R>,
}

struct State {
    left: u32,
    size: u32,
    until: BootInstant,
    waiting: VecDeque<Sender<Verdict>>,
    /// Whether a [`Refill`] of this slice exists.
    refilling: bool,
    share: f64,
    share_at: Option<BootInstant>,
}

/// What became of spending some.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Spent {
    NotHeld,
    EnoughLeft,
    /// Less than half of it, and nobody refills it.
    LittleLeft,
}

/// The right to refill a slice: there is one at a time. Dropped before it is over (its runtime ends), it lets go of who
/// waits, who then take from the local share.
pub struct Refill<R: Rules> {
    slice: Arc<Slice<R>>,
    is_over: bool,
}

/// One call of a refill: what is asked, and for whom.
pub struct Round {
    pub take: Take,
    waiting: Vec<Sender<Verdict>>,
}

impl<R: Rules> Slice<R> {
    pub fn new(key_id: &str, budget: Budget, limit: u32) -> Self {
        let state = State {
            left: 0,
            size: 0,
            until: BootInstant(0),
            waiting: VecDeque::new(),
            refilling: false,
            share: 0.0,
            share_at: None,
        };
        Self {
            key_id: key_id.into(),
            budget,
            limit,
            state: Mutex::new(state),
            rules: PhantomData,
        }
    }

    pub fn spend(&self, count: u32, now: BootInstant) -> bool {
        self.state.lock().spend::<R>(count, now)
    }

    /// Spend `count`, and see whether more should be taken ahead.
    pub fn spend_noting(&self, count: u32, now: BootInstant) -> Spent {
        let mut state = self.state.lock();
        if !state.spend::<R>(count, now) {
            return Spent::NotHeld;
        }
        let is_low = state.left < state.size - state.left && !state.refilling;
        if is_low { Spent::LittleLeft } else { Spent::EnoughLeft }
    }

    /// Refill it, unless somebody does.
    pub fn refill(self: &Arc<Self>) -> Option<Refill<R>> {
        self.begin_refill(&mut self.state.lock())
    }

    /// Wait for the refill under way, or for the one that is to be started.
    pub fn wait(self: &Arc<Self>) -> (Receiver<Verdict>, Option<Refill<R>>) {
        let (sender, receiver) = oneshot::channel();
        let mut state = self.state.lock();
        state.waiting.push_back(sender);
        (receiver, self.begin_refill(&mut state))
    }

    fn begin_refill(self: &Arc<Self>, state: &mut State) -> Option<Refill<R>> {
        if std::mem::replace(&mut state.refilling, true) {
            return None;
        }
        Some(Refill {
            slice: Arc::clone(self),
            is_over: false,
        })
    }

    /// Spend from an equal share of the limit, for times when nobody counts for all.
    pub fn spend_share(&self, count: u32, replicas: u32, now: BootInstant) -> Verdict {
        let mut state = self.state.lock();
        let rate = f64::from(self.limit) / f64::from(replicas.max(1));
        let capacity = rate * f64::from(self.budget.burst_s());
        let fresh = match state.share_at {
            None => rate,
            Some(at) => state.share + Duration::from_nanos(now.0.saturating_sub(at.0)).as_secs_f64() * rate,
        };
        state.share = fresh.min(capacity);
        // Two runtimes read the clock before they lock: the later reading stands, so that no time counts twice.
        state.share_at = Some(state.share_at.map_or(now, |at| at.max(now)));
        let needed = f64::from(count).min(capacity);
        let short = needed - state.share;
        if short <= 0.0 {
            // Below zero after a batch larger than the capacity: the rate holds in the long run.
            state.share -= f64::from(count);
            return R::by_share(Ok(()));
        }
        R::by_share(Err(WaitMs(whole_ms(short / rate))))
    }
}

impl State {
    /// Who waits no longer uses nothing.
    fn forget_who_left(&mut self) {
        self.waiting.retain(|waiter| !waiter.is_closed());
    }

    /// What is left of it; nothing once its second is over (SAFETY.md 20).
    fn held<R: Rules>(&self, now: BootInstant) -> u32 {
        R::held(self.left, self.until, now)
    }

    fn spend<R: Rules>(&mut self, count: u32, now: BootInstant) -> bool {
        let is_held = self.held::<R>(now) >= count;
        if is_held {
            self.left -= count;
        }
        is_held
    }

    fn fill<R: Rules>(&mut self, given: Given, now: BootInstant) {
        self.left = self.held::<R>(now).saturating_add(given.ahead);
        self.size = self.left;
        self.until = given.until;
    }
}

impl<R: Rules> Refill<R> {
    pub fn slice(&self) -> &Slice<R> {
        &self.slice
    }

    /// Ask for all who wait now, and to hold `ahead` in all.
    pub fn begin_round(&self, ahead: u32, now: BootInstant) -> Round {
        let slice = &self.slice;
        let mut state = slice.state.lock();
        state.forget_who_left();
        let waiting: Vec<_> = state.waiting.drain(..).collect();
        let held = state.held::<R>(now);
        let take = Take {
            key_id: Arc::clone(&slice.key_id),
            budget: slice.budget,
            limit: slice.limit,
            demand: u32::try_from(waiting.len()).unwrap_or(u32::MAX),
            exact: false,
            ahead: ahead.saturating_sub(held),
            held,
        };
        Round { take, waiting }
    }

    /// Serve who waited, and who came meanwhile from what is held ahead. Gives itself back while somebody still waits.
    pub fn end_round(mut self, round: Round, given: Given, now: BootInstant) -> Option<Self> {
        let mut served = Vec::new();
        let goes_on = {
            let mut state = self.slice.state.lock();
            state.fill::<R>(given, now);
            state.forget_who_left();
            while !state.waiting.is_empty() && state.spend::<R>(1, now) {
                served.extend(state.waiting.pop_front());
            }
            state.refilling = !state.waiting.is_empty();
            state.refilling
        };
        self.is_over = !goes_on;
        for (waiter, place) in round.waiting.into_iter().zip(0..) {
            let refused = Err(WaitMs(given.wait_ms.max(1)));
            tell(waiter, if place < given.taken { Ok(()) } else { refused });
        }
        for waiter in served {
            tell(waiter, Ok(()));
        }
        goes_on.then_some(self)
    }

    /// Nobody counts for all now: `verdict` decides for each who waits.
    pub fn abandon(mut self, round: Round, mut verdict: impl FnMut(&Slice<R>) -> Verdict) {
        self.is_over = true;
        let came_meanwhile = self.slice.end_refill();
        for waiter in round
            .waiting
            .into_iter()
            .chain(came_meanwhile)
            .filter(|waiter| !waiter.is_closed())
        {
            tell(waiter, verdict(&self.slice));
        }
    }
}

impl<R: Rules> Slice<R> {
    fn end_refill(&self) -> VecDeque<Sender<Verdict>> {
        let mut state = self.state.lock();
        state.refilling = false;
        std::mem::take(&mut state.waiting)
    }
}

impl<R: Rules> Drop for Refill<R> {
    fn drop(&mut self) {
        if !self.is_over {
            drop(self.slice.end_refill());
        }
    }
}

fn tell(waiter: Sender<Verdict>, verdict: Verdict) {
    // Who waits no longer was decided for by its share: what it was given here is lost, never given twice.
    let _ = waiter.send(verdict);
}

/// At least 1; rounded to the nearest.
fn whole_ms(seconds: f64) -> u32 {
    let rounded = Duration::try_from_secs_f64(seconds + 0.0005).unwrap_or(Duration::MAX);
    u32::try_from(rounded.as_millis()).unwrap_or(u32::MAX).max(1)
}
