//! The slice of a budget that a replica holds: no round trip while it lasts, one refill at a time.

use std::sync::atomic::AtomicUsize;
use std::time::Instant;

use tokio::sync::watch;

use super::*;
use crate::broken::{FailsOpen, SliceOutlivesItsSecond};
use crate::budgets::{Answer, Given, Kept};
use crate::clock::BootInstant;

const KEY: &str = "key";
const LIMIT: u32 = 1_000;
const PEOPLE: u32 = 20_000;
const A_SECOND_NS: u64 = 1_000_000_000;

/// A bucket that gives what is asked up to `left`, when `open` is set; or is away.
struct Fake {
    clock: Clock,
    left: Mutex<u32>,
    is_away: AtomicBool,
    takes: Mutex<Vec<Take>>,
    open: watch::Sender<bool>,
}

impl Fake {
    fn holding(left: u32) -> Arc<Self> {
        Self::under(Clock::default(), left)
    }

    fn under(clock: Clock, left: u32) -> Arc<Self> {
        let (left, takes, open) = (Mutex::new(left), Mutex::default(), watch::channel(true).0);
        Arc::new(Self {
            clock,
            left,
            is_away: AtomicBool::new(false),
            takes,
            open,
        })
    }

    fn trips(&self) -> usize {
        self.takes.lock().len()
    }
}

impl Budgets for Fake {
    fn take(&self, take: Take) -> Answer<'_> {
        self.takes.lock().push(take.clone());
        Box::pin(async move {
            let mut opened = self.open.subscribe();
            opened
                .wait_for(|open| *open)
                .await
                .map_err(|_| Away("closed".to_owned()))?;
            if self.is_away.load(Ordering::SeqCst) {
                return Err(Away("gone".to_owned()));
            }
            let mut left = self.left.lock();
            let taken = take.demand.min(*left);
            let ahead = take.ahead.min(*left - taken);
            *left -= taken + ahead;
            let until = BootInstant(self.clock.now().0 + A_SECOND_NS);
            Ok(Given {
                taken,
                ahead,
                until,
                wait_ms: if taken == take.demand { 0 } else { 120 },
            })
        })
    }
}

fn quota<R: Rules>(fake: &Arc<Fake>) -> Arc<Quota<R>> {
    told_to(fake, Box::new(|_, _| ()))
}

fn told_to<R: Rules>(fake: &Arc<Fake>, on_event: OnEvent) -> Arc<Quota<R>> {
    let budgets = Arc::clone(fake) as Arc<dyn Budgets>;
    Arc::new(Quota::with(
        Some(budgets),
        fake.clock.clone(),
        Handle::current(),
        on_event,
    ))
}

fn without_budgets<R: Rules>() -> Quota<R> {
    let time = Clock::Set(Arc::new(AtomicU64::new(A_SECOND_NS)));
    Quota::with(None, time, Handle::current(), Box::new(|_, _| ()))
}

async fn until(what: &str, is_so: impl Fn() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(10);
    while !is_so() {
        assert!(Instant::now() < deadline, "not within 10 s: {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn a_slice_is_spent_without_a_round_trip() {
    let fake = Fake::holding(1_000_000);
    let quota = quota::<Kept>(&fake);
    quota.take(KEY, LIMIT, Budget::Requests).await.unwrap();
    let trips = fake.trips();
    for _ in 0..20 {
        assert!(quota.spend(KEY, LIMIT, Budget::Requests));
    }
    assert_eq!(fake.trips(), trips);
    assert!(!quota.spend(KEY, LIMIT, Budget::People), "budgets are apart");
}

#[tokio::test]
async fn a_slice_is_filled_up_before_it_is_empty() {
    let fake = Fake::holding(1_000_000);
    let quota = quota::<Kept>(&fake);
    quota.take(KEY, LIMIT, Budget::Requests).await.unwrap(); // holds 50 ahead: 5 % of 1,000
    for _ in 0..500 {
        assert!(quota.spend(KEY, LIMIT, Budget::Requests));
        tokio::task::yield_now().await;
    }
    assert!(fake.trips() < 40, "{} trips", fake.trips());
    assert!(fake.takes.lock().iter().all(|take| take.held + take.ahead == 50));
}

#[tokio::test]
async fn many_are_spent_together_or_not_at_all_and_the_slice_is_filled_up_behind_them() {
    let fake = Fake::holding(1_000_000);
    let quota = quota::<Kept>(&fake);
    assert!(!quota.spend_all(KEY, LIMIT, Budget::People, 20)); // nothing is held yet, and nothing was spent
    until("a refill has begun by itself", || {
        quota.spend_all(KEY, LIMIT, Budget::People, 20)
    })
    .await;
    assert!(quota.spend_all(KEY, LIMIT, Budget::People, 20)); // 40 of 50
    until("it was filled up", || fake.trips() >= 2).await;
    assert!(!quota.spend_all(KEY, LIMIT, Budget::People, 51)); // more than is ever held ahead
    assert!(fake.takes.lock().iter().all(|take| take.demand == 0));
}

#[tokio::test]
async fn what_is_held_ahead_is_shared_by_the_live_replicas() {
    let fake = Fake::holding(1_000_000);
    let quota = quota::<Kept>(&fake);
    quota.set_live_replicas(5);
    quota.take(KEY, LIMIT, Budget::Requests).await.unwrap();
    assert_eq!(fake.takes.lock()[0].ahead, 10);
}

#[tokio::test]
async fn who_finds_it_empty_waits_for_one_refill_together() {
    let fake = Fake::holding(1_000_000);
    fake.open.send_replace(false);
    let quota = quota::<Kept>(&fake);
    let mut waiting = JoinSet::new();
    for _ in 0..30 {
        let quota = Arc::clone(&quota);
        waiting.spawn(async move { quota.take(KEY, LIMIT, Budget::Requests).await });
    }
    until("it is asked", || fake.trips() > 0).await;
    assert_eq!(fake.trips(), 1);
    fake.open.send_replace(true);
    assert!(waiting.join_all().await.into_iter().all(|taken| taken.is_ok()));
    assert!(fake.takes.lock().iter().map(|take| take.demand).sum::<u32>() <= 30);
    assert_eq!(quota.fallbacks(), 0);
}

#[tokio::test]
async fn who_left_is_not_asked_for() {
    let fake = Fake::holding(1_000_000);
    let quota = quota::<Kept>(&fake);
    tokio::select! {
        biased;
        _ = quota.take(KEY, LIMIT, Budget::Requests) => panic!("it is not answered before it is asked"),
        () = std::future::ready(()) => (),
    }
    until("the refill is over", || quota.spend(KEY, LIMIT, Budget::Requests)).await;
    assert_eq!(fake.takes.lock()[0].demand, 0);
}

#[tokio::test]
async fn who_left_while_it_was_asked_is_given_nothing() {
    let fake = Fake::holding(1_000_000);
    fake.open.send_replace(false);
    let quota = quota::<Kept>(&fake);
    let holds_one_ahead = 20;
    let take = || {
        let quota = Arc::clone(&quota);
        tokio::spawn(async move { quota.take(KEY, holds_one_ahead, Budget::Requests).await })
    };
    let first = take();
    until("it is asked", || fake.trips() == 1).await;
    let leaving = take();
    tokio::task::yield_now().await;
    leaving.abort();
    assert!(leaving.await.unwrap_err().is_cancelled());
    fake.open.send_replace(true);
    first.await.unwrap().unwrap();
    until("the one is there", || {
        quota.spend(KEY, holds_one_ahead, Budget::Requests)
    })
    .await;
    assert_eq!(fake.takes.lock().iter().map(|take| take.demand).sum::<u32>(), 1);
}

#[tokio::test]
async fn an_empty_bucket_refuses_and_says_when() {
    let quota = quota::<Kept>(&Fake::holding(3));
    for _ in 0..3 {
        quota.take(KEY, LIMIT, Budget::Requests).await.unwrap();
    }
    let refused = quota.take(KEY, LIMIT, Budget::Requests).await.unwrap_err();
    let said = "The budget of 1,000 requests a second is used up. Wait 120 ms, and let nobody play on a check that was \
                refused.";
    assert_eq!((refused.reason, &*refused.message), (Reason::QuotaExceeded, said));
    assert_eq!((refused.field, refused.retry_after_ms), (None, Some(120)));
    assert_eq!(
        refused.details,
        [("budget", "requests".to_owned()), ("limit", "1000".to_owned())]
    );
    assert_eq!(refused.subject.as_deref(), Some("key:key"));
}

#[tokio::test]
async fn a_budget_that_does_not_answer_is_waited_for_fifty_milliseconds() {
    let fake = Fake::holding(1_000_000);
    fake.open.send_replace(false);
    let quota = quota::<Kept>(&fake);
    let begun = Instant::now();
    quota.take(KEY, LIMIT, Budget::Requests).await.unwrap();
    let waited = begun.elapsed();
    assert!(
        waited > Duration::from_millis(40) && waited < Duration::from_millis(500),
        "{waited:?}"
    );
    assert_eq!(quota.fallbacks(), 1);
}

#[tokio::test]
async fn a_changed_limit_begins_a_new_slice() {
    let fake = Fake::holding(1_000_000);
    let quota = quota::<Kept>(&fake);
    quota.take(KEY, LIMIT, Budget::Requests).await.unwrap();
    quota.take(KEY, 10, Budget::Requests).await.unwrap();
    assert_eq!(fake.takes.lock().last().map(|take| take.limit), Some(10));
    quota.take(KEY, 0, Budget::Requests).await.unwrap();
    assert_eq!(
        fake.takes.lock().last().map(|take| take.limit),
        Some(1),
        "0 cannot be, and is read as 1"
    );
}

#[tokio::test]
async fn without_budgets_the_local_share_is_the_rule() {
    let quota = without_budgets::<Kept>();
    quota.set_live_replicas(2);
    assert!(quota.is_local());
    let (some, refusal) = quota.take_some(KEY, LIMIT, Budget::Requests, 900).await;
    assert_eq!(some, 500, "half of 1,000");
    assert_eq!(refusal.unwrap().retry_after_ms, Some(2));
    let refused = quota.take_all(KEY, LIMIT, Budget::Requests, 900).await.unwrap_err();
    assert_eq!(refused.retry_after_ms, Some(1_800), "900 at 500 a second");
    quota.take_all(KEY, PEOPLE, Budget::People, 9_000).await.unwrap();
}

#[tokio::test]
async fn a_batch_above_the_whole_share_is_let_through_and_owed() {
    let quota = without_budgets::<Kept>();
    quota.take_all(KEY, LIMIT, Budget::People, 5_000).await.unwrap();
    let refused = quota.take_all(KEY, LIMIT, Budget::People, 1).await.unwrap_err();
    assert_eq!(refused.retry_after_ms, Some(4_001));
}

/// How many of 5,000 requests at one moment are let through while Redis is away, at a share of 250.
async fn let_through_without_redis<R: Rules>() -> usize {
    let quota = without_budgets::<R>();
    quota.set_live_replicas(4);
    let mut count = 0;
    for _ in 0..5_000 {
        count += usize::from(quota.take(KEY, LIMIT, Budget::Requests).await.is_ok());
    }
    count
}

#[tokio::test]
async fn while_redis_is_away_a_budget_still_holds() {
    assert_eq!(let_through_without_redis::<Kept>().await, 250);
    assert_eq!(
        let_through_without_redis::<FailsOpen>().await,
        5_000,
        "the test sees the harm"
    );
}

/// How many are spent of a slice of 50, one of them in its second, the others when it is over.
async fn spent_of_a_slice<R: Rules>() -> usize {
    let time = Arc::new(AtomicU64::new(A_SECOND_NS));
    let quota = quota::<R>(&Fake::under(Clock::Set(Arc::clone(&time)), 1_000_000));
    quota.take(KEY, LIMIT, Budget::Requests).await.unwrap();
    assert!(quota.spend(KEY, LIMIT, Budget::Requests));
    time.fetch_add(A_SECOND_NS, Ordering::SeqCst);
    let spent = (0..20).filter(|_| quota.spend(KEY, LIMIT, Budget::Requests)).count();
    spent + 1
}

#[tokio::test]
async fn a_slice_expires_with_its_second() {
    assert_eq!(spent_of_a_slice::<Kept>().await, 1);
    assert_eq!(
        spent_of_a_slice::<SliceOutlivesItsSecond>().await,
        21,
        "the test sees the harm"
    );
}

#[tokio::test]
async fn away_and_back_are_told_once_each() {
    let fake = Fake::holding(1_000_000);
    fake.is_away.store(true, Ordering::SeqCst);
    let told = Arc::new(Mutex::new(Vec::new()));
    let heard = Arc::clone(&told);
    let quota = told_to::<Kept>(&fake, Box::new(move |event, cause| heard.lock().push((event, cause))));
    for _ in 0..10 {
        quota.take(KEY, LIMIT, Budget::Requests).await.unwrap();
        quota.take_all(KEY, PEOPLE, Budget::People, 10).await.unwrap();
    }
    assert!(quota.is_local());
    assert_eq!(quota.fallbacks(), 20);
    until("it is told", || !told.lock().is_empty()).await;
    assert_eq!(*told.lock(), [("quota.redis_away", "gone".to_owned())]);
    fake.is_away.store(false, Ordering::SeqCst);
    until("it is back", || !quota.is_local()).await;
    assert_eq!(told.lock()[1..], [("quota.redis_back", String::new())]);
    quota.take(KEY, LIMIT, Budget::Requests).await.unwrap();
    assert_eq!(quota.fallbacks(), 20);
}

#[tokio::test]
async fn who_waits_when_it_is_closed_is_let_go_at_once() {
    let fake = Fake::holding(1_000_000);
    fake.open.send_replace(false);
    let quota = quota::<Kept>(&fake);
    let waiting = Arc::clone(&quota);
    let waiting = tokio::spawn(async move { waiting.take(KEY, LIMIT, Budget::Requests).await });
    until("it is asked", || fake.trips() > 0).await;
    quota.close().await;
    waiting.await.unwrap().unwrap();
    assert!(quota.is_local());
    quota.take(KEY, LIMIT, Budget::Requests).await.unwrap();
    assert_eq!(quota.fallbacks(), 2);
}

#[tokio::test]
async fn a_quota_whose_runtime_is_gone_gives_the_local_share() {
    let other = std::thread::spawn(|| {
        tokio::runtime::Builder::new_current_thread()
            .build()
            .map(|it| it.handle().clone())
    });
    let gone = other.join().unwrap().unwrap();
    let budgets = Fake::holding(1_000_000) as Arc<dyn Budgets>;
    let quota = Quota::<Kept>::with(Some(budgets), Clock::default(), gone, Box::new(|_, _| ()));
    let begun = Instant::now();
    for fallbacks in 1..=20 {
        quota.take(KEY, LIMIT, Budget::Requests).await.unwrap();
        assert_eq!(quota.fallbacks(), fallbacks);
    }
    assert!(begun.elapsed() < 10 * WAIT, "nobody waits for a refill that cannot be");
}

#[tokio::test]
async fn runtimes_that_share_a_quota_spend_nothing_twice() {
    let fake = Fake::holding(5_000);
    let quota = quota::<Kept>(&fake);
    let let_through = Arc::new(AtomicUsize::new(0));
    let serving: Vec<_> = (0..3)
        .map(|_| {
            let (quota, let_through) = (Arc::clone(&quota), Arc::clone(&let_through));
            tokio::task::spawn_blocking(move || {
                let runtime = tokio::runtime::Builder::new_current_thread()
                    .enable_time()
                    .build()
                    .unwrap();
                runtime.block_on(async {
                    while quota.take(KEY, LIMIT, Budget::Requests).await.is_ok() {
                        let_through.fetch_add(1, Ordering::SeqCst);
                    }
                });
            })
        })
        .collect();
    for each in serving {
        each.await.unwrap();
    }
    let (let_through, fallbacks) = (let_through.load(Ordering::SeqCst), quota.fallbacks());
    assert!(
        let_through as u64 <= 5_000 + fallbacks,
        "{let_through}, of them {fallbacks} by the share"
    );
    assert!(let_through > 4_900, "{let_through}");
}
