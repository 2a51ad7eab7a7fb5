//! Load on a lookup replica: open loop, native, with no coordinated omission. See `loadgen --help`.

mod arguments;
mod calls;
mod connect;
mod grpc;
mod hpack;
mod http2;
mod huffman;
mod pace;
mod people;
mod plain;
mod question;
mod stream;
mod tally;
mod template;
mod wire;

use std::cell::RefCell;
use std::process::ExitCode;
use std::rc::Rc;
use std::sync::{Barrier, OnceLock};
use std::thread;
use std::time::{Duration, Instant};

use clap::Parser;
use http::HeaderValue;
use tokio::runtime;
use tokio::task::LocalSet;

use arguments::{Arguments, Load, Mode};
use calls::{Asking, Line};
use connect::{Error, Target};
use grpc::Channel;
use pace::{Caller, Counted, Rate};
use people::Draw;
use plain::{BlindKeys, Http, Redis};
use question::Question;
use tally::{Report, Schedule, Tally};
use template::Template;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const SERVICE: &str = "/nser.lookup.v1.LookupService/";

fn main() -> ExitCode {
    match run(&Arguments::parse().mode) {
        Ok(report) => {
            println!("{}", serde_json::to_string(&report).expect("a report has no keys but text"));
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("loadgen: {error}");
            ExitCode::FAILURE
        }
    }
}

/// One thread of the load.
#[derive(Clone, Copy)]
struct Worker<'a> {
    mode: &'a Mode,
    number: usize,
    of: usize,
    start: &'a Start,
}

/// All threads begin together, once every connection is there.
struct Start {
    connected: Barrier,
    begin: OnceLock<Instant>,
}

impl Start {
    fn wait(&self, load: &Load) -> Schedule {
        self.connected.wait();
        let begin = *self.begin.get_or_init(Instant::now);
        let measured_from = begin + Duration::from_secs_f64(load.warm_up);
        Schedule { begin, measured_from, end: measured_from + Duration::from_secs_f64(load.seconds) }
    }
}

fn run(mode: &Mode) -> Result<Report, Error> {
    let load = mode.load();
    if mode.in_flight() == 0 || load.connections == 0 || load.rate == Some(0) {
        return Err("connections, what is under way on each, and the rate are at least 1".into());
    }
    if matches!(mode, Mode::Stream { .. }) && load.rate.is_some() {
        return Err("a stream is asked in closed loop only: leave --rate out".into());
    }
    let cores = thread::available_parallelism().map_or(1, usize::from);
    let threads = load.threads.unwrap_or(cores).clamp(1, load.connections);
    let start = Start { connected: Barrier::new(threads), begin: OnceLock::new() };
    let tallies = thread::scope(|scope| {
        let workers: Vec<_> = (0..threads)
            .map(|number| Worker { mode, number, of: threads, start: &start })
            .map(|worker| scope.spawn(move || worker.run()))
            .collect();
        workers
            .into_iter()
            .map(|worker| worker.join().expect("no thread of the load panics"))
            .collect::<Result<Vec<_>, _>>()
    })?;
    let mut parts = tallies.into_iter();
    let mut whole = parts.next().ok_or("no thread ran")?;
    parts.for_each(|part| whole.add(&part));
    Ok(Report::new(mode, &whole))
}

impl Worker<'_> {
    fn run(self) -> Result<Tally, Error> {
        let runtime = runtime::Builder::new_current_thread().enable_all().build()?;
        let tally = LocalSet::new().block_on(&runtime, self.work());
        // Connections and calls that are left are dropped here.
        drop(runtime);
        tally
    }

    /// This thread's share of the connections.
    fn connections(self) -> usize {
        let all = self.mode.load().connections;
        all / self.of + usize::from(self.number < all % self.of)
    }

    async fn work(self) -> Result<Tally, Error> {
        let load = self.mode.load();
        let protocol: &[u8] = if matches!(self.mode, Mode::Http { .. }) { b"http/1.1" } else { b"h2" };
        let prepared = Target::new(load, protocol).and_then(|target| Ok((target, authorization(load)?)));
        // A thread that failed alone would leave the others at the barrier: it fails where it stands.
        let (target, authorization) = self.or_exit(prepared);
        match self.mode {
            Mode::Unary { .. } => {
                self.ask(&format!("{SERVICE}Check"), target, authorization, Question::Check).await
            }
            Mode::Batch { size, .. } => {
                let question = Question::Batch { size: *size };
                self.ask(&format!("{SERVICE}BatchCheck"), target, authorization, question).await
            }
            Mode::Template { path, message, outcome_field, .. } => {
                let message = self.or_exit(Template::load(message).map_err(Error::from)).into();
                let question = Question::Template { message, outcome_field: *outcome_field };
                self.ask(path, target, authorization, question).await
            }
            Mode::Stream { window, .. } => self.stream(&target, authorization, *window).await,
            Mode::Http { request, .. } => {
                let request = self.or_exit(Template::load(request).map_err(Error::from));
                let mut callers = Vec::new();
                for _ in 0..self.connections() {
                    let opened = Http::open(&target, request.clone()).await;
                    callers.push(Rc::new(self.or_exit(opened.map_err(Error::from))));
                }
                self.pace(callers).await
            }
            Mode::Redis { pipeline, blind_keys, .. } => {
                let keys = self.or_exit(BlindKeys::load(blind_keys).map_err(Error::from));
                let mut callers = Vec::new();
                for _ in 0..self.connections() {
                    let opened = Redis::open(&target, *pipeline, keys.clone()).await;
                    callers.push(Rc::new(self.or_exit(opened.map_err(Error::from))));
                }
                self.pace(callers).await
            }
        }
    }

    fn or_exit<T>(self, result: Result<T, Error>) -> T {
        result.unwrap_or_else(|error| {
            eprintln!("loadgen: {}: {error}", self.mode.load().address);
            std::process::exit(1);
        })
    }

    /// Make unary calls, closed loop or open: each connection by itself, with its share of the calls.
    async fn ask(
        self,
        path: &str,
        target: Target,
        authorization: Option<HeaderValue>,
        question: Question,
    ) -> Result<Tally, Error> {
        let authorization = authorization.map(|value| value.as_bytes().to_vec());
        let asking = Asking { target, path: path.to_owned(), authorization, question };
        let mut lines = Vec::new();
        for _ in 0..self.connections() {
            lines.push(self.or_exit(Line::open(asking.clone()).await));
        }
        let (load, count) = (self.mode.load(), lines.len() as u64);
        let schedule = self.start.wait(load);
        let tally: Counted = Rc::new(RefCell::new(Tally::new(schedule)));
        let mut asked = tokio::task::JoinSet::new();
        for (number, mut line) in (0..).zip(lines) {
            let (tally, draw, in_flight) = (Rc::clone(&tally), self.draw(number), self.mode.in_flight());
            let of_line = |per_second| Rate {
                per_second,
                first: self.number as u64 + number * self.of as u64,
                step: count * self.of as u64,
            };
            let rate = load.rate.map(of_line);
            asked.spawn_local(async move {
                if let Some(rate) = rate {
                    return line.open_loop(rate, draw, schedule, &tally).await;
                }
                line.closed_loop(in_flight, draw, schedule, &tally).await;
                Ok(())
            });
        }
        let ended = async {
            while let Some(ended) = asked.join_next().await {
                ended??;
            }
            Ok::<_, Error>(())
        };
        self.until_over(schedule, ended).await.transpose()?;
        drop(asked);
        Ok(closed(&tally))
    }

    async fn stream(
        self,
        target: &Target,
        authorization: Option<HeaderValue>,
        window: usize,
    ) -> Result<Tally, Error> {
        let path = format!("{SERVICE}StreamCheck");
        let mut channels = Vec::new();
        for _ in 0..self.connections() {
            channels.push(self.or_exit(Channel::open(target.clone(), &path, authorization.clone()).await));
        }
        let schedule = self.start.wait(self.mode.load());
        let tally = Rc::new(RefCell::new(Tally::new(schedule)));
        let mut asking = tokio::task::JoinSet::new();
        for (number, channel) in (0..).zip(channels) {
            let (tally, draw) = (Rc::clone(&tally), self.draw(number));
            asking.spawn_local(async move { stream::ask(&channel, window, draw, schedule, &tally).await });
        }
        self.until_over(schedule, async { while asking.join_next().await.is_some() {} }).await;
        drop(asking);
        Ok(closed(&tally))
    }

    /// Make the calls of this thread, closed loop or open.
    async fn pace<C: Caller>(self, callers: Vec<Rc<C>>) -> Result<Tally, Error> {
        let load = self.mode.load();
        let schedule = self.start.wait(load);
        let tally: Counted = Rc::new(RefCell::new(Tally::new(schedule)));
        let load = async {
            let Some(per_second) = load.rate else {
                let draw_of = |lane| self.draw(lane);
                pace::closed_loop(&callers, self.mode.in_flight(), draw_of, schedule, &tally).await;
                return Ok(());
            };
            let rate = Rate { per_second, first: self.number as u64, step: self.of as u64 };
            pace::open_loop(&callers, rate, self.draw(0), schedule, &tally).await
        };
        self.until_over(schedule, load).await.transpose()?;
        Ok(closed(&tally))
    }

    /// Run to the end, and give up what is unanswered when patience is over.
    async fn until_over<T>(self, schedule: Schedule, load: impl Future<Output = T>) -> Option<T> {
        let over = schedule.end + Duration::from_secs_f64(self.mode.load().patience);
        tokio::time::timeout_at(over.into(), load).await.ok()
    }

    fn draw(self, lane: u64) -> Draw {
        let load = self.mode.load();
        Draw::new(load.people, load.seed, load.with, lane * self.of as u64 + self.number as u64)
    }
}

fn closed(tally: &Counted) -> Tally {
    tally.borrow_mut().close();
    let schedule = tally.borrow().schedule();
    tally.replace(Tally::new(schedule))
}

fn authorization(load: &Load) -> Result<Option<HeaderValue>, Error> {
    let Some(path) = &load.authorization_file else { return Ok(None) };
    let text = std::fs::read_to_string(path)?;
    let text = text.trim();
    let value = if text.contains(' ') { text.to_owned() } else { format!("Bearer {text}") };
    Ok(Some(HeaderValue::try_from(value)?))
}
