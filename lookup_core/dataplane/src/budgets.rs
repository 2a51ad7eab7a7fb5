//! The budgets of all replicas together, in Redis: one script call takes from one bucket.
//!
//! Redis's clock decides. A call that takes longer than its time drops the connection, so that no later call can read
//! its reply; whatever goes wrong is [`Away`], and the caller falls back to its own share. TLS to Redis is not spoken.

use std::fmt;
use std::future::Future;
use std::marker::PhantomData;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, Client, Cmd, ErrorKind, RedisError, RedisResult, ServerErrorKind, TlsCertificates};
use tokio::runtime::Handle;
use tokio::sync::OnceCell;

use crate::clock::{BootInstant, Clock};

/// When Redis counts as away. Longer than a request waits (quota.rs): one slow reply is no outage.
const CALL: Duration = Duration::from_millis(200);
/// Of a limit, all replicas together may hold one part in so many without having used it: 5 % (SAFETY.md 20).
const AHEAD_PART: u32 = 20;
const SCRIPT: &str = include_str!("quota.lua");

/// What is counted, each apart from the other (CONTRACT.md, Budgets).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Budget {
    Requests,
    People,
}

impl Budget {
    pub fn name(self) -> &'static str {
        match self {
            Self::Requests => "requests",
            Self::People => "people",
        }
    }

    /// How many seconds' worth may be used at once.
    pub fn burst_s(self) -> u32 {
        match self {
            Self::Requests => 2,
            Self::People => 1,
        }
    }
}

/// What SAFETY.md 20 asks of budgets. Tests break one rule at a time to see the harm; nothing else implements this.
pub trait Rules: Send + Sync + 'static {
    /// What all replicas together may hold of `limit` ahead of need.
    fn ceiling(limit: u32) -> u32 {
        limit / AHEAD_PART
    }

    /// What is left of a slice; nothing once its second is over.
    fn held(left: u32, until: BootInstant, now: BootInstant) -> u32 {
        if now < until { left } else { 0 }
    }

    /// What is done with the verdict of the local share: it stands.
    fn by_share(verdict: Verdict) -> Verdict {
        verdict
    }
}

/// All rules, kept.
#[derive(Debug)]
pub struct Kept;

impl Rules for Kept {}

/// A budget is used up for now: how long until more can be had, at least 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WaitMs(pub u32);

pub type Verdict = Result<(), WaitMs>;

/// What is asked of one bucket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Take {
    pub key_id: Arc<str>,
    pub budget: Budget,
    /// A second; at least 1.
    pub limit: u32,
    /// Used at once.
    pub demand: u32,
    /// All of the demand or nothing.
    pub exact: bool,
    /// Beyond the demand, for the rest of this second.
    pub ahead: u32,
    /// Of an earlier `ahead`, still unused.
    pub held: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Given {
    pub taken: u32,
    pub ahead: u32,
    /// When `ahead` expires.
    pub until: BootInstant,
    /// Until what was refused can be met.
    pub wait_ms: u32,
}

/// Redis did not answer in time, or not as it should. The text names no address and no password.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Away(pub String);

pub type Answer<'a> = Pin<Box<dyn Future<Output = Result<Given, Away>> + Send + 'a>>;

/// Where budgets are counted for all replicas. Called from any runtime that has timers.
pub trait Budgets: Send + Sync + 'static {
    fn take(&self, take: Take) -> Answer<'_>;

    fn close(&self) {}
}

/// The URL is none of a Redis that can be reached from here. It is not repeated: it can hold a password.
#[derive(Debug, PartialEq, Eq)]
pub struct UnusableUrl;

impl fmt::Display for UnusableUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(
            "The URL of Redis cannot be used. Give redis://[:password@]host:port/number, rediss:// for TLS (with \
             ?ssl_ca_certs=FILE for an authority of your own), or unix:///path/of/socket?password=….",
        )
    }
}

impl std::error::Error for UnusableUrl {}

/// A URL is taken as redis-py takes it: it names a socket's password, the database and the authority of TLS otherwise
/// than our crate.
fn client(url: &str) -> Result<Client, UnusableUrl> {
    let mut url = redis::parse_redis_url(url).ok_or(UnusableUrl)?;
    let asked: Vec<(String, String)> = url.query_pairs().into_owned().collect();
    let value_of = |name: &str| asked.iter().find(|(asked, _)| asked == name).map(|(_, value)| value);
    if url.scheme() == "unix" {
        let renamed = asked.iter().map(|(name, value)| (our_name(name), value));
        url.query_pairs_mut().clear().extend_pairs(renamed);
    } else if let Some(number) = value_of("db") {
        url.set_path(number);
    }
    let client = match value_of("ssl_ca_certs") {
        Some(file) if url.scheme() == "rediss" => {
            let root_cert = Some(std::fs::read(file).map_err(|_| UnusableUrl)?);
            let certificates = TlsCertificates {
                client_tls: None,
                root_cert,
            };
            Client::build_with_tls(url, certificates)
        }
        _ => Client::open(url),
    };
    client.map_err(|_| UnusableUrl)
}

fn our_name(query: &str) -> &str {
    match query {
        "username" => "user",
        "password" => "pass",
        other => other,
    }
}

/// One connection, made by the first call that needs it and given up as a whole.
type Line = Arc<OnceCell<MultiplexedConnection>>;

/// Budgets in one Redis; `replica` names who holds what ahead.
pub struct RedisBudgets<R: Rules> {
    client: Client,
    replica: String,
    sha: String,
    clock: Clock,
    /// Where the connection is driven, whoever calls.
    runtime: Handle,
    line: Mutex<Line>,
    rules: PhantomData<R>,
}

impl<R: Rules> RedisBudgets<R> {
    /// Connect to nothing yet. The connection will live on `runtime`.
    pub fn new(url: &str, replica: &str, clock: Clock, runtime: Handle) -> Result<Self, UnusableUrl> {
        Ok(Self {
            client: client(url)?,
            replica: replica.to_owned(),
            sha: redis::Script::new(SCRIPT).get_hash().to_owned(),
            clock,
            runtime,
            line: Mutex::new(Line::default()),
            rules: PhantomData,
        })
    }

    async fn run(&self, line: &Line, take: &Take) -> RedisResult<(u32, u32, u64, u32)> {
        let mut connection = line.get_or_try_init(|| self.connect()).await?.clone();
        match self.call("EVALSHA", &self.sha, take).query_async(&mut connection).await {
            // Restarted or flushed.
            Err(error) if error.kind() == ErrorKind::Server(ServerErrorKind::NoScript) => {
                self.call("EVAL", SCRIPT, take).query_async(&mut connection).await
            }
            answered => answered,
        }
    }

    fn call(&self, verb: &str, script: &str, take: &Take) -> Cmd {
        // The braces keep both keys in one slot of a cluster.
        let bucket = format!("nser:budget:{{{}:{}}}", take.key_id, take.budget.name());
        let capacity = u64::from(take.limit) * u64::from(take.budget.burst_s());
        let mut command = redis::cmd(verb);
        command.arg(script).arg(2).arg(&bucket).arg(format!("{bucket}:ahead"));
        command
            .arg(take.limit)
            .arg(capacity)
            .arg(take.demand)
            .arg(u8::from(take.exact));
        command
            .arg(take.ahead)
            .arg(take.held)
            .arg(R::ceiling(take.limit))
            .arg(&self.replica);
        command
    }

    /// On our own runtime: a caller's may end, and the connection must not end with it.
    async fn connect(&self) -> RedisResult<MultiplexedConnection> {
        let client = self.client.clone();
        let connecting = self.runtime.spawn(async move {
            // Who calls bounds the reply; the connecting goes on after a caller has left, so it is bounded here.
            let config = AsyncConnectionConfig::new()
                .set_connection_timeout(Some(CALL))
                .set_response_timeout(None);
            client.get_multiplexed_async_connection_with_config(&config).await
        });
        connecting
            .await
            .map_err(|_| RedisError::from((ErrorKind::Client, "the runtime of budgets is gone")))?
    }

    /// A reply may still come on this line: nobody may read it as theirs.
    fn give_up(&self, line: &Line) {
        let mut current = self.line.lock();
        if Arc::ptr_eq(&current, line) {
            *current = Line::default();
        }
    }
}

impl<R: Rules> Budgets for RedisBudgets<R> {
    fn take(&self, take: Take) -> Answer<'_> {
        Box::pin(async move {
            let line = self.line.lock().clone();
            let sent = self.clock.now();
            let cause = match tokio::time::timeout(CALL, self.run(&line, &take)).await {
                // From when it was sent: expires here no later than in Redis.
                Ok(Ok((taken, ahead, left_ms, wait_ms))) => {
                    let until = BootInstant(sent.0.saturating_add(left_ms.saturating_mul(1_000_000)));
                    return Ok(Given {
                        taken,
                        ahead,
                        until,
                        wait_ms,
                    });
                }
                Ok(Err(error)) => error.category().to_owned(),
                Err(_) => format!("no answer within {} ms", CALL.as_millis()),
            };
            self.give_up(&line);
            Err(Away(cause))
        })
    }

    fn close(&self) {
        *self.line.lock() = Line::default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_names_its_database_as_redis_py_reads_it() {
        for (url, number) in [
            ("redis://host", 0),
            ("redis://host/2", 2),
            ("redis://host?db=3", 3),
            ("redis://host/2?db=3", 3),
            ("rediss://:secret@host:1/4", 4),
            ("unix:///socket?db=5&password=secret", 5),
        ] {
            let client = client(url).unwrap();
            assert_eq!(client.get_connection_info().redis_settings().db(), number, "{url}");
        }
    }
}
