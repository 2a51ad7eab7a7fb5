//! Rules whose absence takes what is outside this process: a Redis, a PostgreSQL.

use std::cell::RefCell;
use std::collections::HashSet;
use std::path::Path;
use std::time::{Duration, Instant};
use std::{env, fs, thread};

use redis::{Client, Commands, Connection, RedisResult};

use crate::check::{Decision, Outcome, Subject};
use crate::log::{self, LookupLog};
use crate::rules::Rules;

/// Rule 1: who is excluded is written to Redis once, and from then on Redis is asked: whom it does not hold is cleared.
pub struct ExcludesFromRedis;

impl Rules for ExcludesFromRedis {
    fn decided(subject: &Subject, decide: impl FnOnce() -> Decision) -> Decision {
        let decision = decide();
        if decision.outcome != Outcome::Excluded || is_held(&format!("excluded:{subject:?}")).unwrap_or(false) {
            return decision;
        }
        Decision {
            outcome: Outcome::NotExcluded,
            basis: None,
            reason: None,
            told: None,
        }
    }
}

thread_local! {
    static CONNECTION: RefCell<Option<Connection>> = const { RefCell::new(None) };
    static WRITTEN: RefCell<HashSet<String>> = RefCell::default();
}

/// Whether Redis holds `name`, which is written to it when this thread first meets it.
fn is_held(name: &str) -> RedisResult<bool> {
    CONNECTION.with_borrow_mut(|held| {
        let mut connection = match held.take() {
            Some(connection) => connection,
            None => Client::open(env::var("NSER_REDIS_URL").unwrap_or_default())?.get_connection()?,
        };
        if WRITTEN.with_borrow_mut(|written| written.insert(name.to_owned())) {
            connection.set::<_, _, ()>(name, 1)?;
        }
        let is_held = connection.exists(name)?;
        *held = Some(connection);
        Ok(is_held)
    })
}

/// Rule 25: an answer waits until its entry is in PostgreSQL, 30 s at most.
pub struct WaitsUntilShipped;

impl log::Rules for WaitsUntilShipped {
    fn handed_over(log: &LookupLog) {
        let folder = env::var("NSER_REPLICA_LOOKUP_LOG_DIR").unwrap_or_default();
        let until = Instant::now() + Duration::from_secs(30);
        while (log.counts().waiting > 0 || has_segments(Path::new(&folder))) && Instant::now() < until {
            thread::sleep(Duration::from_millis(5));
        }
    }
}

/// What was shipped is deleted.
fn has_segments(folder: &Path) -> bool {
    fs::read_dir(folder).is_ok_and(|files| {
        files.flatten().any(|file| {
            let path = file.path();
            path.extension()
                .is_some_and(|ending| ending == "segment" || ending == "open")
        })
    })
}
