//! A segment as the rows of `register.lookup_log`, in COPY BINARY: no Python object for an entry or a call.

use super::{Record, Segment};

/// In the order of the fields below.
pub const COLUMNS: [&str; 11] = [
    "at",
    "replica_id",
    "sequence",
    "operator_id",
    "key_id",
    "purpose",
    "outcome",
    "basis",
    "token",
    "revision",
    "correlation_id",
];
const BEGIN: [u8; 19] = *b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0";
const END: [u8; 2] = (-1_i16).to_be_bytes();
/// The database counts from the year 2000.
const YEAR_2000_US: i64 = 946_684_800_000_000;

/// Some rows of the stream, and from which call to go on.
#[derive(Debug)]
pub struct Rows {
    pub bytes: Vec<u8>,
    pub entries: usize,
    pub next: usize,
}

impl Segment {
    /// The rows of the calls from the place `call` on, until there are `entries` or more. The first have the stream's
    /// beginning before them, the last its end behind them. None when there are no more.
    pub fn copy_rows(&self, call: usize, entries: usize) -> Option<Rows> {
        if call >= self.calls() {
            return None;
        }
        let mut rows = Rows {
            bytes: Vec::new(),
            entries: 0,
            next: call,
        };
        if call == 0 {
            rows.bytes.extend_from_slice(&BEGIN);
        }
        while let Some(record) = self.record(rows.next).filter(|_| rows.entries < entries.max(1)) {
            put_call(&mut rows.bytes, &self.header.replica_id, &record);
            rows.entries += record.codes.len();
            rows.next += 1;
        }
        if rows.next >= self.calls() {
            rows.bytes.extend_from_slice(&END);
        }
        Some(rows)
    }
}

fn put_call(out: &mut Vec<u8>, replica_id: &[u8; 16], record: &Record<'_>) {
    let texts = record.key_id.len() + record.correlation_id.len();
    out.reserve(record.codes.len() * (160 + texts));
    put_rows(out, replica_id, record, |_, _| {});
}

/// Give each row of a call, with its place in it, as it is sent to the database. `row` is room to work in.
pub(super) fn for_each_row(
    row: &mut Vec<u8>,
    replica_id: &[u8; 16],
    record: &Record<'_>,
    mut each: impl FnMut(usize, &[u8]),
) {
    row.clear();
    put_rows(row, replica_id, record, |place, row| {
        each(place, row);
        row.clear();
    });
}

/// Append the rows of a call; `after` is told of each when it is whole.
fn put_rows(out: &mut Vec<u8>, replica_id: &[u8; 16], record: &Record<'_>, mut after: impl FnMut(usize, &mut Vec<u8>)) {
    let at = i64::try_from(record.at_us).unwrap_or(i64::MAX) - YEAR_2000_US;
    let (key_id, correlation_id) = (storable(record.key_id), storable(record.correlation_id));
    let mut tokens = record.tokens().peekable();
    for (place, code) in record.codes.iter().enumerate() {
        let token = tokens.next_if(|(of, _)| *of == place).map(|(_, token)| token);
        out.extend_from_slice(&11_i16.to_be_bytes());
        put(out, &at.to_be_bytes());
        put(out, replica_id);
        put(out, &record.first.wrapping_add(place as u64).to_be_bytes());
        put(out, &record.operator_id);
        put(out, key_id.as_bytes());
        put(out, purpose(record.purpose).as_bytes());
        put(out, outcome(code & 15).as_bytes());
        put_or_null(out, basis(code >> 4).map(str::as_bytes));
        put_or_null(out, token.as_ref().map(<[u8; 16]>::as_slice));
        put(out, &record.revision.to_be_bytes());
        put(out, correlation_id.as_bytes());
        after(place, out);
    }
}

fn put(out: &mut Vec<u8>, field: &[u8]) {
    out.extend_from_slice(&i32::try_from(field.len()).unwrap_or(i32::MAX).to_be_bytes());
    out.extend_from_slice(field);
}

fn put_or_null(out: &mut Vec<u8>, field: Option<&[u8]>) {
    match field {
        Some(field) => put(out, field),
        None => out.extend_from_slice(&(-1_i32).to_be_bytes()),
    }
}

/// The database stores no NUL in a text.
fn storable(text: &str) -> String {
    text.replace('\0', "\u{fffd}")
}

// The words of `lookup_core.domain.outcome`. A number that is not known here is stored as such, never as another word.

const fn purpose(number: u8) -> &'static str {
    match number {
        0 | 1 => "exclusion",
        2 => "marketing",
        3 => "age",
        _ => "unknown",
    }
}

const fn outcome(number: u8) -> &'static str {
    match number {
        1 => "EXCLUDED",
        2 => "NOT_EXCLUDED",
        3 => "INDETERMINATE",
        _ => "UNKNOWN",
    }
}

const fn basis(number: u8) -> Option<&'static str> {
    match number {
        0 => None,
        1 => Some("DOCUMENT"),
        2 => Some("PHONE"),
        3 => Some("PHONE_CONFLICT"),
        4 => Some("TOKEN"),
        _ => Some("UNKNOWN"),
    }
}
