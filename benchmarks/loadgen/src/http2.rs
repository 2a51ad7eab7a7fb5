//! The client's side of HTTP/2 for unary gRPC calls and nothing else (RFC 9113), without its socket: bytes in, bytes out.
//!
//! The generator shares the machine with the server, so what a call costs here is taken from the server. A request is
//! written into the bytes that go out; an answer is read where it arrived. Windows, concurrent streams, GOAWAY and pings
//! are minded; what a client need not know is passed over. It is no client for anybody else.

use std::collections::VecDeque;
use std::time::Instant;

use crate::grpc::{outcome_of_code, unreadable};
use crate::hpack::{Answers, Request, TABLE_BYTES, Told};
use crate::people::Draw;
use crate::question::Question;
use crate::tally::Failure;
use crate::wire::{Outcomes, Unreadable};

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const HEAD_BYTES: usize = 9;
// Frames.
const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const GOAWAY: u8 = 7;
const WINDOW_UPDATE: u8 = 8;
const CONTINUATION: u8 = 9;
// Their flags.
const END_STREAM: u8 = 1;
const ACK: u8 = 1;
const END_HEADERS: u8 = 4;
const PADDED: u8 = 8;
const PRIORITY: u8 = 32;
// Settings.
const TABLE_SIZE: u16 = 1;
const ENABLE_PUSH: u16 = 2;
const MAX_STREAMS: u16 = 3;
const INITIAL_WINDOW: u16 = 4;
const MAX_FRAME: u16 = 5;
const DEFAULT_WINDOW: u32 = 65_535;
const DEFAULT_FRAME: usize = 16_384;
/// What we take of one answer, and of all together before we say that it was read.
const STREAM_WINDOW: u32 = 16 << 20;
const CONNECTION_WINDOW: u32 = 64 << 20;
const LAST_STREAM: u32 = (1 << 31) - 1;
/// RFC 9113, section 7.
const RESETS: [&str; 14] = [
    "NO_ERROR",
    "PROTOCOL_ERROR",
    "INTERNAL_ERROR",
    "FLOW_CONTROL_ERROR",
    "SETTINGS_TIMEOUT",
    "STREAM_CLOSED",
    "FRAME_SIZE_ERROR",
    "REFUSED_STREAM",
    "CANCEL",
    "COMPRESSION_ERROR",
    "CONNECT_ERROR",
    "ENHANCE_YOUR_CALM",
    "INADEQUATE_SECURITY",
    "HTTP_1_1_REQUIRED",
];

/// How a call ended, by when it was due.
pub type Ended<'a> = &'a mut dyn FnMut(Instant, Result<Outcomes, Failure>);

/// The connection cannot be used any more.
#[derive(Debug, PartialEq, Eq)]
pub struct Broken;

struct Call {
    due: Instant,
    told: Told,
    arrived: Vec<u8>,
}

/// A message that the windows have not let out yet.
struct Unsent {
    stream: u32,
    message: Vec<u8>,
    at: usize,
    window: i64,
}

/// A header block that goes on in CONTINUATION.
struct Begun {
    stream: u32,
    ends: bool,
    block: Vec<u8>,
}

pub struct Session {
    question: Question,
    request: Request,
    answers: Answers,
    /// What is to be written.
    pub out: Vec<u8>,
    /// By stream, the oldest first; those that have ended are empty places.
    calls: VecDeque<Option<Call>>,
    oldest: u32,
    next: u32,
    under_way: usize,
    spare: Vec<Vec<u8>>,
    unsent: VecDeque<Unsent>,
    begun: Option<Begun>,
    window: i64,
    stream_window: i64,
    frame: usize,
    most_streams: usize,
    read: u32,
    is_set: bool,
    is_leaving: bool,
}

impl Session {
    pub fn new(question: Question, request: Request) -> Self {
        let mut session = Self {
            question,
            request,
            answers: Answers::new(),
            out: PREFACE.to_vec(),
            calls: VecDeque::new(),
            oldest: 1,
            next: 1,
            under_way: 0,
            spare: Vec::new(),
            unsent: VecDeque::new(),
            begun: None,
            window: DEFAULT_WINDOW.into(),
            stream_window: DEFAULT_WINDOW.into(),
            frame: DEFAULT_FRAME,
            most_streams: usize::MAX,
            read: 0,
            is_set: false,
            is_leaving: false,
        };
        put_head(&mut session.out, 12, SETTINGS, 0, 0);
        for (name, value) in [(ENABLE_PUSH, 0), (INITIAL_WINDOW, STREAM_WINDOW)] {
            session.out.extend_from_slice(&name.to_be_bytes());
            session.out.extend_from_slice(&value.to_be_bytes());
        }
        session.open_window(CONNECTION_WINDOW - DEFAULT_WINDOW);
        session
    }

    /// Whether the server has said what it allows.
    pub fn is_set(&self) -> bool {
        self.is_set
    }

    pub fn under_way(&self) -> usize {
        self.under_way
    }

    /// Whether the server takes one call more, now.
    pub fn may_begin(&self) -> bool {
        self.is_set && !self.is_over() && self.under_way < self.most_streams
    }

    /// Whether it takes none any more.
    pub fn is_over(&self) -> bool {
        self.is_leaving || self.next >= LAST_STREAM - 1
    }

    /// Ask about who is drawn. The call counts from `due`.
    pub fn begin(&mut self, due: Instant, draw: &mut Draw) {
        let stream = self.next;
        let block = if stream == 1 { &self.request.first } else { &self.request.next };
        put_head(&mut self.out, block.len(), HEADERS, END_HEADERS, stream);
        self.out.extend_from_slice(block);
        let head = self.out.len();
        put_head(&mut self.out, 0, DATA, END_STREAM, stream);
        self.question.put(&mut self.out, draw);
        let length = self.out.len() - head - HEAD_BYTES;
        let window = self.window.min(self.stream_window);
        if self.unsent.is_empty()
            && length <= self.frame
            && i64::try_from(length).is_ok_and(|length| length <= window)
        {
            self.out[head..head + 3].copy_from_slice(&length_of(length));
            self.window -= i64::try_from(length).unwrap_or_default();
        } else {
            let message = self.out.split_off(head + HEAD_BYTES);
            self.out.truncate(head);
            self.unsent.push_back(Unsent { stream, message, at: 0, window: self.stream_window });
            self.send_unsent();
        }
        let arrived = self.spare.pop().unwrap_or_default();
        self.calls.push_back(Some(Call { due, told: Told::default(), arrived }));
        (self.next, self.under_way) = (stream + 2, self.under_way + 1);
    }

    /// Read the whole frames of what has arrived; returns how many bytes they were.
    pub fn receive(&mut self, arrived: &[u8], ended: Ended<'_>) -> Result<usize, Broken> {
        let mut rest = arrived;
        while let Some((head, after)) = rest.split_first_chunk::<HEAD_BYTES>() {
            let [high, middle, low, kind, flags, stream @ ..] = *head;
            let length = u32::from_be_bytes([0, high, middle, low]) as usize;
            let Some((payload, after)) = after.split_at_checked(length) else { break };
            self.frame(kind, flags, u32::from_be_bytes(stream) & LAST_STREAM, payload, ended)?;
            rest = after;
        }
        Ok(arrived.len() - rest.len())
    }

    /// The connection is gone, and with it what was not answered.
    pub fn fail(&mut self, ended: Ended<'_>) {
        self.is_leaving = true;
        self.under_way = 0;
        for call in self.calls.drain(..).flatten() {
            ended(call.due, Err(transport()));
        }
    }

    fn frame(
        &mut self,
        kind: u8,
        flags: u8,
        stream: u32,
        payload: &[u8],
        ended: Ended<'_>,
    ) -> Result<(), Broken> {
        match kind {
            DATA => self.data(flags, stream, payload, ended),
            HEADERS => {
                let block = unpadded(flags, payload)?;
                let block = if flags & PRIORITY == 0 { block } else { block.get(5..).ok_or(Broken)? };
                self.begun = Some(Begun { stream, ends: flags & END_STREAM != 0, block: Vec::new() });
                self.block(flags, stream, block, ended)
            }
            CONTINUATION => self.block(flags, stream, payload, ended),
            RST_STREAM => {
                let code = word(payload, 0)?;
                let name = RESETS.get(code as usize).map_or_else(|| code.to_string(), ToString::to_string);
                self.end(stream, Some(format!("RESET_{name}")), ended);
                Ok(())
            }
            SETTINGS if flags & ACK == 0 => self.settings(payload),
            PING if flags & ACK == 0 => {
                put_head(&mut self.out, payload.len(), PING, ACK, 0);
                self.out.extend_from_slice(payload);
                Ok(())
            }
            GOAWAY => {
                self.is_leaving = true;
                let last = word(payload, 0)? & LAST_STREAM;
                for stream in (self.oldest..self.next).step_by(2).filter(|&stream| stream > last) {
                    self.end(stream, Some(transport()), ended);
                }
                Ok(())
            }
            WINDOW_UPDATE => {
                let more = i64::from(word(payload, 0)? & LAST_STREAM);
                if stream == 0 {
                    self.window += more;
                } else if let Some(unsent) = self.unsent.iter_mut().find(|unsent| unsent.stream == stream) {
                    unsent.window += more;
                }
                self.send_unsent();
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn data(&mut self, flags: u8, stream: u32, payload: &[u8], ended: Ended<'_>) -> Result<(), Broken> {
        self.read += u32::try_from(payload.len()).unwrap_or(u32::MAX);
        if self.read >= CONNECTION_WINDOW / 2 {
            let read = std::mem::take(&mut self.read);
            self.open_window(read);
        }
        if let Some(call) = self.call(stream) {
            call.arrived.extend_from_slice(unpadded(flags, payload)?);
        }
        if flags & END_STREAM != 0 {
            self.end(stream, None, ended);
        }
        Ok(())
    }

    fn block(&mut self, flags: u8, stream: u32, part: &[u8], ended: Ended<'_>) -> Result<(), Broken> {
        let mut begun = self.begun.take().filter(|begun| begun.stream == stream).ok_or(Broken)?;
        if flags & END_HEADERS == 0 {
            begun.block.extend_from_slice(part);
            self.begun = Some(begun);
            return Ok(());
        }
        let told = if begun.block.is_empty() {
            self.answers.read(part)
        } else {
            begun.block.extend_from_slice(part);
            self.answers.read(&begun.block)
        };
        let told = told.map_err(|Unreadable| Broken)?;
        if let Some(call) = self.call(stream) {
            call.told.http_status = call.told.http_status.or(told.http_status);
            call.told.grpc_status = told.grpc_status.or(call.told.grpc_status);
        }
        if begun.ends {
            self.end(stream, None, ended);
        }
        Ok(())
    }

    fn settings(&mut self, payload: &[u8]) -> Result<(), Broken> {
        for setting in payload.as_chunks::<6>().0 {
            let value = word(setting, 2)?;
            match u16::from_be_bytes([setting[0], setting[1]]) {
                // Our calls after the first are places in the table.
                TABLE_SIZE if (value as usize) < TABLE_BYTES => return Err(Broken),
                MAX_STREAMS => self.most_streams = value as usize,
                INITIAL_WINDOW => {
                    let more = i64::from(value) - self.stream_window;
                    self.stream_window += more;
                    self.unsent.iter_mut().for_each(|unsent| unsent.window += more);
                }
                MAX_FRAME => self.frame = value as usize,
                _ => {}
            }
        }
        put_head(&mut self.out, 0, SETTINGS, ACK, 0);
        self.is_set = true;
        self.send_unsent();
        Ok(())
    }

    /// Send of what waits as much as the windows let out.
    fn send_unsent(&mut self) {
        let (out, frame, all) = (&mut self.out, self.frame, &mut self.window);
        self.unsent.retain_mut(|unsent| {
            while unsent.at < unsent.message.len() {
                let window = usize::try_from(unsent.window.min(*all)).unwrap_or_default();
                let part = window.min(frame).min(unsent.message.len() - unsent.at);
                if part == 0 {
                    return true;
                }
                let end = unsent.at + part;
                let flags = if end == unsent.message.len() { END_STREAM } else { 0 };
                put_head(out, part, DATA, flags, unsent.stream);
                out.extend_from_slice(&unsent.message[unsent.at..end]);
                unsent.at = end;
                let part = i64::try_from(part).unwrap_or_default();
                (unsent.window, *all) = (unsent.window - part, *all - part);
            }
            false
        });
    }

    fn open_window(&mut self, more: u32) {
        put_head(&mut self.out, 4, WINDOW_UPDATE, 0, 0);
        self.out.extend_from_slice(&more.to_be_bytes());
    }

    fn place(&self, stream: u32) -> Option<usize> {
        Some((stream.checked_sub(self.oldest)? / 2) as usize).filter(|&place| place < self.calls.len())
    }

    fn call(&mut self, stream: u32) -> Option<&mut Call> {
        let place = self.place(stream)?;
        self.calls[place].as_mut()
    }

    fn end(&mut self, stream: u32, failed: Option<Failure>, ended: Ended<'_>) {
        let Some(mut call) = self.place(stream).and_then(|place| self.calls[place].take()) else { return };
        self.under_way -= 1;
        while let Some(None) = self.calls.front() {
            self.calls.pop_front();
            self.oldest += 2;
        }
        if failed.is_some() {
            self.unsent.retain(|unsent| unsent.stream != stream);
        }
        ended(call.due, failed.map_or_else(|| counted(&self.question, &call), Err));
        call.arrived.clear();
        self.spare.push(call.arrived);
    }
}

fn counted(question: &Question, call: &Call) -> Result<Outcomes, Failure> {
    match call.told.http_status {
        Some(200) => {}
        Some(code) => return Err(format!("HTTP_{code}")),
        None => return Err(unreadable()),
    }
    outcome_of_code(call.told.grpc_status.ok_or("NO_STATUS")?)?;
    question.count(&call.arrived)
}

fn transport() -> Failure {
    "TRANSPORT".to_owned()
}

fn put_head(into: &mut Vec<u8>, length: usize, kind: u8, flags: u8, stream: u32) {
    let ([high, middle, low], [a, b, c, d]) = (length_of(length), stream.to_be_bytes());
    into.extend_from_slice(&[high, middle, low, kind, flags, a, b, c, d]);
}

fn length_of(length: usize) -> [u8; 3] {
    let [_, bytes @ ..] = u32::try_from(length).unwrap_or_default().to_be_bytes();
    bytes
}

fn word(payload: &[u8], at: usize) -> Result<u32, Broken> {
    let bytes = payload.get(at..).and_then(|from| from.first_chunk::<4>()).ok_or(Broken)?;
    Ok(u32::from_be_bytes(*bytes))
}

fn unpadded(flags: u8, payload: &[u8]) -> Result<&[u8], Broken> {
    if flags & PADDED == 0 {
        return Ok(payload);
    }
    let (&padding, rest) = payload.split_first().ok_or(Broken)?;
    let length = rest.len().checked_sub(padding.into()).ok_or(Broken)?;
    Ok(&rest[..length])
}

#[cfg(test)]
#[path = "http2_tests.rs"]
mod tests;
