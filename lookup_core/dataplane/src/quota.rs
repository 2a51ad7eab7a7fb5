//! Budgets of an API key, without a round trip on the hot path.
//!
//! A replica holds a small slice of each budget that is in use, taken from Redis ahead of need, gone with its second; all
//! replicas together hold at most 5 % of a limit unused (SAFETY.md 20). Who finds the slice empty waits for the refill
//! under way, one for each key. While Redis is away each replica gives an equal share of the limit, counted here and
//! alarmed; a budget is then kept less exactly, and no check is answered otherwise.

#[cfg(test)]
mod on_redis;
#[cfg(test)]
mod own_redis;
mod slice;
mod slices;
#[cfg(test)]
mod tests;

use std::future::Future;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::runtime::Handle;
use tokio::task::JoinSet;

use self::slice::{Refill, Slice, Spent};
use self::slices::Slices;
pub use crate::budgets::Budget;
use crate::budgets::{Away, Budgets, RedisBudgets, Rules, Take, UnusableUrl, Verdict, WaitMs};
use crate::clock::Clock;
use crate::in_force::Spending;
use crate::refusal::{Reason, Refusal, grouped};

/// How long a request waits for a refill before the local share decides.
const WAIT: Duration = Duration::from_millis(50);
/// How often Redis is tried again while it is away.
const PROBE: Duration = Duration::from_millis(500);

/// Told `quota.redis_away` with its cause and `quota.redis_back`, always on the quota's own runtime: it may be slow.
pub type OnEvent = Box<dyn Fn(&'static str, String) + Send + Sync>;

/// The budgets of every key at this replica, for all runtimes that serve.
pub struct Quota<R: Rules = Spending> {
    shared: Arc<Shared<R>>,
}

struct Shared<R: Rules> {
    budgets: Option<Arc<dyn Budgets>>,
    clock: Clock,
    runtime: Handle,
    on_event: OnEvent,
    slices: Slices<R>,
    live_replicas: AtomicU32,
    fallbacks: AtomicU64,
    is_away: AtomicBool,
    /// Refills and the probe; None once closed.
    tasks: Mutex<Option<JoinSet<()>>>,
}

impl Quota {
    /// Count in the Redis at `url`, or by the local share alone. Refills, the connection and `on_event` are run on
    /// `runtime`, never on one that serves. Connects to nothing yet.
    pub fn new(url: Option<&str>, replica: &str, runtime: Handle, on_event: OnEvent) -> Result<Self, UnusableUrl> {
        let clock = Clock::default();
        let budgets = url.map(|url| RedisBudgets::<Spending>::new(url, replica, clock.clone(), runtime.clone()));
        let budgets = budgets
            .transpose()?
            .map(|budgets| Arc::new(budgets) as Arc<dyn Budgets>);
        Ok(Self::with(budgets, clock, runtime, on_event))
    }
}

impl<R: Rules> Quota<R> {
    pub fn with(budgets: Option<Arc<dyn Budgets>>, clock: Clock, runtime: Handle, on_event: OnEvent) -> Self {
        let shared = Shared {
            budgets,
            clock,
            runtime,
            on_event,
            slices: Slices::default(),
            live_replicas: AtomicU32::new(1),
            fallbacks: AtomicU64::new(0),
            is_away: AtomicBool::new(false),
            tasks: Mutex::new(Some(JoinSet::new())),
        };
        Self {
            shared: Arc::new(shared),
        }
    }

    /// Among how many a limit is shared out while Redis is away.
    pub fn set_live_replicas(&self, count: u32) {
        self.shared.live_replicas.store(count.max(1), Ordering::Relaxed);
    }

    /// Whether Redis is away (or none is configured) and the local share decides.
    pub fn is_local(&self) -> bool {
        self.shared.is_local()
    }

    /// Decisions by the local share.
    pub fn fallbacks(&self) -> u64 {
        self.shared.fallbacks.load(Ordering::Relaxed)
    }

    /// Spend one from the slice that is held. Never waits; false says nothing yet: see [`Quota::take`].
    pub fn spend(&self, key_id: &str, limit: u32, budget: Budget) -> bool {
        self.shared.spend_one(&self.shared.slices.of(key_id, limit, budget))
    }

    /// Spend `count` from the slice that is held, or nothing. Never waits; has the slice refilled where it was too small,
    /// so that who then waits in [`Quota::take_some`] leaves more for the next.
    pub fn spend_all(&self, key_id: &str, limit: u32, budget: Budget, count: u32) -> bool {
        let slice = self.shared.slices.of(key_id, limit, budget);
        let spent = slice.spend_noting(count, self.shared.clock.now());
        if spent != Spent::EnoughLeft && !self.is_local() {
            self.shared.start_refill(slice.refill());
        }
        spent != Spent::NotHeld
    }

    /// Spend one.
    pub async fn take(&self, key_id: &str, limit: u32, budget: Budget) -> Result<(), Refusal> {
        let slice = self.shared.slices.of(key_id, limit, budget);
        if self.shared.spend_one(&slice) {
            return Ok(());
        }
        self.shared
            .wait_for_one(&slice)
            .await
            .map_err(|wait| refusal(&slice, wait))
    }

    /// Spend exactly `count`, or nothing.
    pub async fn take_all(&self, key_id: &str, limit: u32, budget: Budget, count: u32) -> Result<(), Refusal> {
        let slice = self.shared.slices.of(key_id, limit, budget);
        if let Some((taken, wait)) = self.shared.take_many(&slice, count, true).await {
            return if taken < count {
                Err(refusal(&slice, wait))
            } else {
                Ok(())
            };
        }
        self.shared
            .by_share(&slice, count)
            .map_err(|wait| refusal(&slice, wait))
    }

    /// Spend up to `count`. Gives how many there were, and the refusal of the others.
    pub async fn take_some(&self, key_id: &str, limit: u32, budget: Budget, count: u32) -> (u32, Option<Refusal>) {
        let slice = self.shared.slices.of(key_id, limit, budget);
        if let Some((taken, wait)) = self.shared.take_many(&slice, count, false).await {
            return (taken, (taken < count).then(|| refusal(&slice, wait)));
        }
        for taken in 0..count {
            if let Err(wait) = self.shared.by_share(&slice, 1) {
                return (taken, Some(refusal(&slice, wait)));
            }
        }
        (count, None)
    }

    /// End what is under way and let go of Redis. From then on the local share decides.
    pub async fn close(&self) {
        let tasks = self.shared.tasks.lock().take();
        if let Some(mut tasks) = tasks {
            tasks.shutdown().await;
        }
        self.shared.is_away.store(true, Ordering::Release);
        if let Some(budgets) = &self.shared.budgets {
            budgets.close();
        }
    }
}

impl<R: Rules> Shared<R> {
    fn is_local(&self) -> bool {
        self.budgets.is_none() || self.is_away.load(Ordering::Acquire)
    }

    fn replicas(&self) -> u32 {
        self.live_replicas.load(Ordering::Relaxed)
    }

    fn spend_one(self: &Arc<Self>, slice: &Arc<Slice<R>>) -> bool {
        let spent = slice.spend_noting(1, self.clock.now());
        if spent == Spent::LittleLeft && !self.is_local() {
            self.start_refill(slice.refill());
        }
        spent != Spent::NotHeld
    }

    async fn wait_for_one(self: &Arc<Self>, slice: &Arc<Slice<R>>) -> Verdict {
        if self.is_local() {
            return self.by_share(slice, 1);
        }
        let (verdict, refill) = slice.wait();
        self.start_refill(refill);
        match tokio::time::timeout(WAIT, verdict).await {
            Ok(Ok(verdict)) => verdict,
            Ok(Err(_)) | Err(_) => self.by_share(slice, 1), // closed, or too slow
        }
    }

    /// How many of `count` were spent, and when more can be. None: nobody counts for all.
    async fn take_many(self: &Arc<Self>, slice: &Slice<R>, count: u32, exact: bool) -> Option<(u32, WaitMs)> {
        if slice.spend(count, self.clock.now()) {
            return Some((count, WaitMs(0)));
        }
        let budgets = self.budgets.as_ref().filter(|_| !self.is_local())?;
        let (key_id, budget, limit) = (Arc::clone(&slice.key_id), slice.budget, slice.limit);
        match budgets
            .take(Take {
                key_id,
                budget,
                limit,
                demand: count,
                exact,
                ahead: 0,
                held: 0,
            })
            .await
        {
            Ok(given) => Some((given.taken, WaitMs(given.wait_ms.max(1)))),
            Err(away) => {
                self.note_away(away);
                None
            }
        }
    }

    fn by_share(&self, slice: &Slice<R>, count: u32) -> Verdict {
        self.fallbacks.fetch_add(1, Ordering::Relaxed);
        slice.spend_share(count, self.replicas(), self.clock.now())
    }

    /// Run it on our own runtime; not at all once closed.
    fn start(&self, task: impl Future<Output = ()> + Send + 'static) {
        if let Some(tasks) = self.tasks.lock().as_mut() {
            while tasks.try_join_next().is_some() {}
            tasks.spawn_on(task, &self.runtime);
        }
    }

    fn start_refill(self: &Arc<Self>, refill: Option<Refill<R>>) {
        if let Some((refill, budgets)) = refill.zip(self.budgets.clone()) {
            self.start(Arc::clone(self).refill(refill, budgets));
        }
    }

    /// Serve who waits and take a few ahead; again while somebody came meanwhile.
    async fn refill(self: Arc<Self>, refill: Refill<R>, budgets: Arc<dyn Budgets>) {
        let ahead = (R::ceiling(refill.slice().limit) / self.replicas()).max(1);
        let mut under_way = Some(refill);
        while let Some(refill) = under_way {
            let round = refill.begin_round(ahead, self.clock.now());
            match budgets.take(round.take.clone()).await {
                Ok(given) => under_way = refill.end_round(round, given, self.clock.now()),
                Err(away) => {
                    self.note_away(away);
                    return refill.abandon(round, |slice| self.by_share(slice, 1));
                }
            }
        }
    }

    fn note_away(self: &Arc<Self>, away: Away) {
        if !self.is_away.swap(true, Ordering::AcqRel) {
            // Weak: a quota that nobody has any more stops asking for its Redis.
            self.start(probe(Arc::downgrade(self), away));
        }
    }

    /// Whether Redis answers.
    async fn reaches_budgets(&self) -> bool {
        let Some(budgets) = &self.budgets else { return false };
        let budget = Budget::Requests;
        let take = Take {
            key_id: "probe".into(),
            budget,
            limit: 1,
            demand: 0,
            exact: false,
            ahead: 0,
            held: 0,
        };
        budgets.take(take).await.is_ok()
    }
}

/// Tell that Redis is away, and try it until it answers again.
async fn probe<R: Rules>(shared: Weak<Shared<R>>, Away(cause): Away) {
    if let Some(shared) = shared.upgrade() {
        (shared.on_event)("quota.redis_away", cause);
    }
    loop {
        tokio::time::sleep(PROBE).await;
        let Some(shared) = shared.upgrade() else { return };
        if shared.reaches_budgets().await {
            (shared.on_event)("quota.redis_back", String::new());
            shared.is_away.store(false, Ordering::Release);
            return;
        }
    }
}

/// `QUOTA_EXCEEDED`, in the words of `kernel/errors.py::QuotaExceeded`.
fn refusal<R: Rules>(slice: &Slice<R>, WaitMs(wait_ms): WaitMs) -> Refusal {
    let (limit, budget) = (slice.limit, slice.budget.name());
    let message = format!(
        "The budget of {} {budget} a second is used up. Wait {wait_ms} ms, and let nobody play on a check that was \
         refused.",
        grouped(&limit)
    );
    Refusal {
        retry_after_ms: Some(wait_ms),
        details: vec![("budget", budget.to_owned()), ("limit", limit.to_string())],
        subject: Some(format!("key:{}", slice.key_id)),
        ..Refusal::new(Reason::QuotaExceeded, message)
    }
}
