//! What was counted, and how it is told.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use serde::Serialize;

use crate::arguments::{Load, Mode, With};
use crate::wire::Outcomes;

const LONGEST: Duration = Duration::from_secs(600);
const DIGITS: u8 = 3;
/// What a curve of latencies is drawn through.
const CURVE: [f64; 14] =
    [0.0, 10.0, 25.0, 50.0, 75.0, 90.0, 95.0, 98.0, 99.0, 99.5, 99.9, 99.95, 99.99, 100.0];
const OUTCOMES: [&str; 4] = ["unspecified", "excluded", "not_excluded", "indeterminate"];

/// Why a call was no answer: the name of a gRPC code, or of ours (TRANSPORT, UNREADABLE, UNANSWERED).
pub type Failure = String;

/// When what is measured began, and when no more is sent.
#[derive(Clone, Copy, Debug)]
pub struct Schedule {
    pub begin: Instant,
    pub measured_from: Instant,
    pub end: Instant,
}

/// One thread's count.
pub struct Tally {
    schedule: Schedule,
    latencies: Histogram<u64>,
    lateness: Histogram<u64>,
    outcomes: Outcomes,
    errors: BTreeMap<Failure, u64>,
    sent: u64,
    ended: u64,
    answered: u64,
    people_answered: u64,
    people: u64,
    last: Instant,
}

impl Tally {
    pub fn new(schedule: Schedule) -> Self {
        let histogram = || {
            Histogram::new_with_bounds(1, nanoseconds(LONGEST), DIGITS)
                .expect("the bounds are constants in order")
        };
        Self {
            schedule,
            latencies: histogram(),
            lateness: histogram(),
            outcomes: Outcomes::default(),
            errors: BTreeMap::new(),
            sent: 0,
            ended: 0,
            answered: 0,
            people_answered: 0,
            people: 0,
            last: schedule.measured_from,
        }
    }

    pub fn schedule(&self) -> Schedule {
        self.schedule
    }

    /// A call goes out; `late` is how long after it was due.
    pub fn sent(&mut self, late: Option<Duration>) {
        self.sent += 1;
        if let Some(late) = late {
            self.lateness.saturating_record(nanoseconds(late));
        }
    }

    /// A call that was due at `due` has ended at `now`.
    pub fn ended(&mut self, due: Instant, now: Instant, result: Result<Outcomes, Failure>) {
        self.ended += 1;
        let outcomes = match result {
            Ok(outcomes) => outcomes,
            Err(failure) => return *self.errors.entry(failure).or_default() += 1,
        };
        let people: u64 = outcomes.iter().sum();
        self.answered += 1;
        self.people_answered += people;
        if due < self.schedule.measured_from {
            return;
        }
        self.last = self.last.max(now);
        self.latencies.saturating_record(nanoseconds(now - due));
        self.people += people;
        for (total, more) in self.outcomes.iter_mut().zip(outcomes) {
            *total += more;
        }
    }

    /// The load is over: what has no answer now never had one.
    pub fn close(&mut self) {
        let unanswered = self.sent - self.ended;
        if unanswered > 0 {
            *self.errors.entry("UNANSWERED".to_owned()).or_default() += unanswered;
        }
    }

    pub fn add(&mut self, other: &Self) {
        self.latencies += &other.latencies;
        self.lateness += &other.lateness;
        for (total, more) in self.outcomes.iter_mut().zip(other.outcomes) {
            *total += more;
        }
        for (failure, count) in &other.errors {
            *self.errors.entry(failure.clone()).or_default() += count;
        }
        self.sent += other.sent;
        self.ended += other.ended;
        self.answered += other.answered;
        self.people_answered += other.people_answered;
        self.people += other.people;
        self.last = self.last.max(other.last);
    }
}

/// What is printed.
#[derive(Debug, Serialize)]
pub struct Report {
    mode: &'static str,
    connections: usize,
    in_flight_per_connection: Option<usize>,
    rate: Option<u32>,
    index_people: u64,
    with: &'static str,
    tls: bool,
    /// Calls that were answered, without the warm-up; a latency is one of these.
    count: u64,
    people: u64,
    seconds: f64,
    per_second: f64,
    people_per_second: f64,
    /// With the warm-up: what a server's CPU was spent on.
    answered_in_all: u64,
    people_answered_in_all: u64,
    errors: BTreeMap<Failure, u64>,
    outcomes: BTreeMap<String, u64>,
    latency_us: Latency,
    /// Percentile and latency in microseconds.
    curve: Vec<(f64, f64)>,
    /// How long after it was due a call went out: the generator's own share of the latency, in open loop.
    sent_late_us: Option<Latency>,
}

#[derive(Debug, Serialize)]
pub struct Latency {
    p50: f64,
    p90: f64,
    p99: f64,
    #[serde(rename = "p99.9")]
    p99_9: f64,
    max: f64,
}

impl Report {
    pub fn new(mode: &Mode, tally: &Tally) -> Self {
        let load: &Load = mode.load();
        let count = tally.latencies.len();
        let seconds = (tally.last - tally.schedule.measured_from).as_secs_f64();
        let per_second = |count: u64| if seconds > 0.0 { rounded(as_float(count) / seconds) } else { 0.0 };
        Self {
            mode: mode.name(),
            connections: load.connections,
            in_flight_per_connection: load.rate.is_none().then(|| mode.in_flight()),
            rate: load.rate,
            index_people: load.people,
            with: match load.with {
                With::Phone => "phone",
                With::Document => "document",
                With::Both => "both",
            },
            tls: load.ca.is_some(),
            count,
            people: tally.people,
            seconds,
            per_second: per_second(count),
            people_per_second: per_second(tally.people),
            answered_in_all: tally.answered,
            people_answered_in_all: tally.people_answered,
            errors: tally.errors.clone(),
            outcomes: named(mode, &tally.outcomes),
            latency_us: Latency::of(&tally.latencies),
            curve: CURVE.map(|point| (point, at(&tally.latencies, point))).to_vec(),
            sent_late_us: load.rate.map(|_| Latency::of(&tally.lateness)),
        }
    }
}

impl Latency {
    fn of(histogram: &Histogram<u64>) -> Self {
        let [p50, p90, p99, p99_9, max] = [50.0, 90.0, 99.0, 99.9, 100.0].map(|point| at(histogram, point));
        Self { p50, p90, p99, p99_9, max }
    }
}

fn at(histogram: &Histogram<u64>, percentile: f64) -> f64 {
    rounded(as_float(histogram.value_at_percentile(percentile)) / 1_000.0)
}

/// The outcomes that were met, by their names; those of another service by their numbers.
fn named(mode: &Mode, outcomes: &Outcomes) -> BTreeMap<String, u64> {
    let ours = !matches!(mode, Mode::Template { .. });
    let name = |place: usize| match OUTCOMES.get(place) {
        Some(name) if ours => (*name).to_owned(),
        _ => place.to_string(),
    };
    (0..).zip(outcomes).filter(|&(_, &count)| count > 0).map(|(place, &count)| (name(place), count)).collect()
}

fn nanoseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX).max(1)
}

#[expect(clippy::cast_precision_loss, reason = "counts and nanoseconds of a load are far below 2^53")]
fn as_float(count: u64) -> f64 {
    count as f64
}

fn rounded(value: f64) -> f64 {
    (value * 10.0).round() / 10.0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn schedule() -> Schedule {
        let begin = Instant::now().checked_sub(Duration::from_secs(2)).unwrap();
        Schedule { begin, measured_from: begin + Duration::from_secs(1), end: begin + Duration::from_secs(3) }
    }

    #[test]
    fn a_latency_counts_from_when_its_call_was_due_and_the_warm_up_not_at_all() {
        let schedule = schedule();
        let mut tally = Tally::new(schedule);
        for due in [schedule.begin, schedule.measured_from] {
            tally.sent(None);
            tally.ended(due, Instant::now(), Ok([0, 1, 0, 0, 0, 0, 0, 0]));
        }
        assert_eq!((tally.answered, tally.latencies.len(), tally.people), (2, 1, 1));
        assert!(tally.latencies.min() >= nanoseconds(Duration::from_millis(900)));
    }

    #[test]
    fn what_was_never_answered_is_an_error() {
        let mut tally = Tally::new(schedule());
        tally.sent(Some(Duration::from_micros(5)));
        tally.sent(None);
        tally.ended(Instant::now(), Instant::now(), Err("UNAVAILABLE".to_owned()));
        tally.close();
        assert_eq!(
            tally.errors,
            BTreeMap::from([("UNANSWERED".to_owned(), 1), ("UNAVAILABLE".to_owned(), 1)])
        );
    }
}
