//! The budgets on real Redis: kept across replicas, shared out while Redis is away, never a reason to err.
//!
//! Run when `NSER_TEST_REDIS_URL` names a Redis, as the Python suite does (`tests/integration/replica`); without it they
//! return at once. With it, a machine that has no server to start and kill fails.

use std::time::Instant;

use super::own_redis::OwnRedis;
use super::*;
use crate::broken::{HoldsTheLimitAhead, SliceOutlivesItsSecond};
use crate::budgets::Kept;
use crate::clock::BootInstant;

const A_SECOND_NS: u64 = 1_000_000_000;

fn given_url() -> Option<String> {
    std::env::var("NSER_TEST_REDIS_URL").ok()
}

fn own_redis() -> Option<OwnRedis> {
    given_url().map(|_| OwnRedis::start())
}

/// A key id that no earlier run has used.
fn fresh(name: &str) -> String {
    format!("{name}-{}-{}", std::process::id(), Clock::default().now().0)
}

fn quota(url: &str, replica: &str) -> Quota {
    Quota::new(Some(url), replica, Handle::current(), Box::new(|_, _| ())).unwrap()
}

fn store<R: Rules>(url: &str, replica: &str) -> RedisBudgets<R> {
    RedisBudgets::new(url, replica, Clock::default(), Handle::current()).unwrap()
}

fn ahead_of(key_id: &str, limit: u32, ahead: u32, held: u32) -> Take {
    Take {
        key_id: key_id.into(),
        budget: Budget::Requests,
        limit,
        demand: 0,
        exact: false,
        ahead,
        held,
    }
}

async fn until(what: &str, is_so: impl Fn() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(10);
    while !is_so() {
        assert!(Instant::now() < deadline, "not within 10 s: {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// How many requests are let through until a moment, asking all the time.
async fn allowed(quota: &Quota, key_id: &str, limit: u32, end: Instant) -> u32 {
    let mut count = 0;
    while Instant::now() < end {
        count += u32::from(quota.take(key_id, limit, Budget::Requests).await.is_ok());
        tokio::time::sleep(Duration::from_micros(500)).await;
    }
    count
}

/// Wait for the first part of a second of Redis's clock that is later than the second `after`; say which it is.
async fn a_second_begins(url: &str, after: u64) -> u64 {
    let client = redis::Client::open(url).unwrap();
    let mut connection = client.get_multiplexed_async_connection().await.unwrap();
    loop {
        let (second, microseconds): (u64, u64) = redis::cmd("TIME").query_async(&mut connection).await.unwrap();
        if second > after && microseconds < 200_000 {
            return second;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// The budget: 200 a second for 4 s after a burst of 2 s.
#[tokio::test]
async fn two_replicas_together_keep_one_limit_within_five_percent() {
    let Some(url) = given_url() else { return };
    let (key, limit, seconds) = (fresh("shared"), 200, 4);
    let (one, other) = (quota(&url, "one"), quota(&url, "other"));
    let end = Instant::now() + Duration::from_secs(seconds);
    for each in [&one, &other] {
        each.set_live_replicas(2);
    }
    let counts = tokio::join!(allowed(&one, &key, limit, end), allowed(&other, &key, limit, end));
    let budget = f64::from(limit) * 6.0;
    let sum = f64::from(counts.0 + counts.1);
    assert!(sum <= budget * 1.05, "{counts:?}");
    assert!(
        sum >= budget * 0.90,
        "{counts:?}: slices that expire unused are lost, and the last burst is cut off"
    );
    assert!(counts.0 > 0 && counts.1 > 0, "{counts:?}");
    assert_eq!((one.fallbacks(), other.fallbacks()), (0, 0));
}

/// Ten replicas ask for as much as they like of a limit of 100: what they hold, and what one more asking gives.
async fn held_by_ten<R: Rules>(url: &str) -> (u32, u32, u32) {
    let key = fresh("greedy");
    let stores: Vec<_> = (0..10)
        .map(|number| store::<R>(url, &format!("replica {number}")))
        .collect();
    a_second_begins(url, 0).await;
    let mut all = 0;
    for each in &stores {
        all += each.take(ahead_of(&key, 100, 3, 0)).await.unwrap().ahead;
    }
    let again = stores[0].take(ahead_of(&key, 100, 3, 3)).await.unwrap().ahead;
    let used = stores[0].take(ahead_of(&key, 100, 3, 0)).await.unwrap().ahead;
    (all, again, used)
}

#[tokio::test]
async fn what_all_replicas_hold_unused_is_at_most_five_percent() {
    let Some(url) = given_url() else { return };
    assert_eq!(held_by_ten::<Kept>(&url).await, (5, 0, 3));
    assert_eq!(
        held_by_ten::<HoldsTheLimitAhead>(&url).await,
        (30, 3, 3),
        "the test sees the harm"
    );
}

/// A batch that is charged one by one says nothing of what its replica still holds for single checks.
#[tokio::test]
async fn taking_some_does_not_hide_what_is_held_ahead() {
    let Some(url) = given_url() else { return };
    let (one, other) = (store::<Kept>(&url, "one"), store::<Kept>(&url, "other"));
    let key = fresh("hidden");
    a_second_begins(&url, 0).await;
    assert_eq!(one.take(ahead_of(&key, 100, 5, 0)).await.unwrap().ahead, 5);
    let mut some = ahead_of(&key, 100, 0, 0);
    some.demand = 10;
    assert_eq!(one.take(some).await.unwrap().taken, 10);
    assert_eq!(other.take(ahead_of(&key, 100, 5, 0)).await.unwrap().ahead, 0);
}

/// Three replicas take 5 % of 1,000 each, in three seconds one after the other, and use none of it until the last.
async fn held_of_three_seconds<R: Rules>(url: &str) -> usize {
    let (key, clock) = (fresh("idle"), Clock::default());
    let (mut slices, mut second) = (Vec::new(), 0);
    for number in 0..3 {
        let slice = Arc::new(Slice::<R>::new(&key, Budget::Requests, 1_000));
        let store = store::<R>(url, &format!("replica {number}"));
        let (_, refill) = slice.wait(); // who waited has left
        second = a_second_begins(url, second).await;
        let refill = refill.unwrap();
        let round = refill.begin_round(50, clock.now());
        let given = store.take(round.take.clone()).await.unwrap();
        assert!(refill.end_round(round, given, clock.now()).is_none());
        slices.push(slice);
    }
    slices
        .iter()
        .map(|slice| (0..200).filter(|_| slice.spend(1, clock.now())).count())
        .sum()
}

#[tokio::test]
async fn what_is_held_of_several_seconds_does_not_add_up() {
    let Some(url) = given_url() else { return };
    let (kept, broken) = tokio::join!(
        held_of_three_seconds::<Kept>(&url),
        held_of_three_seconds::<SliceOutlivesItsSecond>(&url)
    );
    assert_eq!(kept, 50);
    assert_eq!(broken, 150, "the test sees the harm");
}

#[tokio::test]
async fn what_is_given_ahead_ends_with_the_second() {
    let Some(url) = given_url() else { return };
    a_second_begins(&url, 0).await;
    let given = store::<Kept>(&url, "one")
        .take(ahead_of(&fresh("expiring"), 1_000, 50, 0))
        .await
        .unwrap();
    let now = Clock::default().now();
    assert_eq!(given.ahead, 50);
    assert!(now < given.until && given.until <= BootInstant(now.0 + A_SECOND_NS));
}

#[tokio::test]
async fn a_batch_takes_its_exact_number_or_nothing() {
    let Some(url) = given_url() else { return };
    let (quota, key) = (quota(&url, "one"), fresh("batches"));
    quota.take_all(&key, 1_000, Budget::People, 900).await.unwrap();
    let refused = quota.take_all(&key, 1_000, Budget::People, 900).await.unwrap_err();
    assert_eq!(
        refused.details,
        [("budget", "people".to_owned()), ("limit", "1000".to_owned())]
    );
    assert!((1..=1_000).contains(&refused.retry_after_ms.unwrap()), "{refused:?}");
    quota.take_all(&key, 1_000, Budget::People, 50).await.unwrap(); // the refused one took nothing
    let (some, refusal) = quota.take_some(&key, 1_000, Budget::People, 900).await;
    assert!((50..900).contains(&some), "{some}");
    assert!(refusal.is_some());
    assert_eq!(quota.fallbacks(), 0);
}

#[tokio::test]
async fn a_batch_above_a_full_budget_is_let_through_and_owed() {
    let Some(url) = given_url() else { return };
    let (quota, key) = (quota(&url, "one"), fresh("large"));
    quota.take_all(&key, 1_000, Budget::People, 5_000).await.unwrap();
    let refused = quota.take_all(&key, 1_000, Budget::People, 1).await.unwrap_err();
    assert!(refused.retry_after_ms.unwrap() > 3_500, "{refused:?}");
}

#[tokio::test]
async fn a_flushed_redis_is_told_the_script_again() {
    let Some(redis) = own_redis() else { return };
    let (store, key) = (store::<Kept>(&redis.url(), "one"), fresh("flushed"));
    let client = redis::Client::open(redis.url()).unwrap();
    let mut connection = client.get_multiplexed_async_connection().await.unwrap();
    for _ in 0..5 {
        assert_eq!(
            store
                .take(Take {
                    demand: 1,
                    ..ahead_of(&key, 1_000, 0, 0)
                })
                .await
                .unwrap()
                .taken,
            1
        );
        redis::cmd("SCRIPT")
            .arg("FLUSH")
            .exec_async(&mut connection)
            .await
            .unwrap();
    }
}

#[tokio::test]
async fn redis_is_reached_through_its_socket() {
    let Some(redis) = own_redis() else { return };
    let (quota, key) = (quota(&redis.socket_url(), "one"), fresh("socket"));
    quota.take(&key, 1_000, Budget::Requests).await.unwrap();
    assert_eq!((quota.fallbacks(), quota.is_local()), (0, false));
}

#[tokio::test]
async fn without_redis_a_replica_gives_an_equal_share() {
    let Some(mut redis) = own_redis() else { return };
    let (quota, key) = (quota(&redis.url(), "one"), fresh("share"));
    quota.set_live_replicas(4);
    quota.take(&key, 100, Budget::Requests).await.unwrap();
    redis.kill();
    tokio::time::sleep(Duration::from_millis(1_100)).await; // what was held of the limit is gone with its second
    let count = allowed(&quota, &key, 100, Instant::now() + Duration::from_secs(2)).await;
    // A quarter of 100 a second, and one second's worth to begin with.
    assert!((50..=80).contains(&count), "{count}");
    assert!(quota.is_local());
    assert!(quota.fallbacks() > u64::from(count));
    redis.start_again();
    until("the shared budget is back", || !quota.is_local()).await;
    let fallbacks = quota.fallbacks();
    quota.take(&key, 100, Budget::Requests).await.unwrap();
    assert_eq!(quota.fallbacks(), fallbacks);
}

#[tokio::test]
async fn a_redis_that_hangs_holds_a_request_up_for_fifty_milliseconds_at_most() {
    let Some(redis) = own_redis() else { return };
    let (quota, key) = (quota(&redis.url(), "one"), fresh("hanging"));
    quota.take(&key, 1_000, Budget::Requests).await.unwrap();
    redis.signal("STOP");
    tokio::time::sleep(Duration::from_millis(1_050)).await;
    let mut slowest = Duration::ZERO;
    for _ in 0..50 {
        let begun = Instant::now();
        quota.take(&key, 1_000, Budget::Requests).await.unwrap();
        slowest = slowest.max(begun.elapsed());
    }
    assert!(
        slowest < Duration::from_millis(200),
        "{slowest:?}: 50 ms, and what a busy machine adds"
    );
    until("it is noticed", || quota.is_local()).await;
    redis.signal("CONT");
    until("the shared budget is back", || !quota.is_local()).await;
}

#[tokio::test]
async fn a_late_reply_is_nobody_elses() {
    let Some(redis) = own_redis() else { return };
    let store = store::<Kept>(&redis.url(), "one");
    let take = |demand| Take {
        demand,
        exact: true,
        ..ahead_of(&fresh("late"), 1_000, 0, 0)
    };
    assert_eq!(store.take(take(1)).await.unwrap().taken, 1);
    redis.signal("STOP");
    assert_eq!(
        store.take(take(700)).await,
        Err(Away("no answer within 200 ms".to_owned()))
    );
    redis.signal("CONT");
    for demand in 2..20 {
        assert_eq!(store.take(take(demand)).await.unwrap().taken, demand);
    }
}

#[tokio::test]
async fn a_url_that_cannot_be_used_is_refused_and_not_repeated() {
    for url in [
        "",
        "http://redis",
        "rediss://:secret@host:1/0?ssl_ca_certs=/is/not/there",
        "redis://:secret@host:port",
        "unix://:secret@/socket",
    ] {
        let refused = Quota::new(Some(url), "one", Handle::current(), Box::new(|_, _| ())).err();
        assert_eq!(refused, Some(UnusableUrl), "{url}");
    }
    assert!(!UnusableUrl.to_string().contains("secret"));
}
