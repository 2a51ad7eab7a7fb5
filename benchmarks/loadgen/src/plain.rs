//! What is no gRPC: HTTP/1.1 and Redis, for the peers that speak these.

use std::io::{Error, ErrorKind, Result};
use std::path::Path;

use bytes::{Buf, BufMut, BytesMut};
use sha2::{Digest, Sha256};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::Mutex;

use crate::connect::{Io, Target};
use crate::pace::Caller;
use crate::people::Draw;
use crate::tally::Failure;
use crate::template::Template;
use crate::wire::Outcomes;

const KEY_BYTES: usize = 32;
const BLIND_BYTES: usize = 16;
const BLOCK_BYTES: usize = 64;
const EXCLUDED: usize = 1;
const NOT_EXCLUDED: usize = 2;

struct Line {
    io: Box<dyn Io>,
    arrived: BytesMut,
}

impl Line {
    async fn open(target: &Target) -> Result<Mutex<Self>> {
        Ok(Mutex::new(Self { io: target.connect().await?, arrived: BytesMut::new() }))
    }

    async fn more(&mut self) -> Result<()> {
        if self.io.read_buf(&mut self.arrived).await? == 0 {
            return Err(ErrorKind::UnexpectedEof.into());
        }
        Ok(())
    }

    /// The next line, without its end.
    async fn line(&mut self) -> Result<BytesMut> {
        loop {
            if let Some(end) = self.arrived.windows(2).position(|pair| pair == b"\r\n") {
                let line = self.arrived.split_to(end);
                self.arrived.advance(2);
                return Ok(line);
            }
            self.more().await?;
        }
    }

    async fn exactly(&mut self, length: usize) -> Result<BytesMut> {
        while self.arrived.len() < length {
            self.more().await?;
        }
        Ok(self.arrived.split_to(length))
    }
}

fn unreadable() -> Error {
    ErrorKind::InvalidData.into()
}

fn number(text: &[u8]) -> Result<i64> {
    std::str::from_utf8(text).ok().and_then(|text| text.trim().parse().ok()).ok_or_else(unreadable)
}

fn failed(error: &Error) -> Failure {
    if error.kind() == ErrorKind::InvalidData { "UNREADABLE" } else { "TRANSPORT" }.to_owned()
}

/// One HTTP/1.1 connection that is kept.
pub struct Http {
    line: Mutex<Line>,
    request: Template,
}

impl Http {
    pub async fn open(target: &Target, request: Template) -> Result<Self> {
        Ok(Self { line: Line::open(target).await?, request })
    }

    async fn exchange(&self, request: &[u8]) -> Result<(u16, BytesMut)> {
        let mut line = self.line.lock().await;
        line.io.write_all(request).await?;
        line.io.flush().await?;
        let first = line.line().await?;
        let status = number(first.get(9..12).ok_or_else(unreadable)?)?;
        let mut length = None;
        loop {
            let header = line.line().await?.to_ascii_lowercase();
            if header.is_empty() {
                break;
            }
            if let Some(value) = header.strip_prefix(b"content-length:") {
                length = Some(usize::try_from(number(value)?).map_err(|_| unreadable())?);
            }
        }
        let body = line.exactly(length.ok_or_else(unreadable)?).await?;
        Ok((u16::try_from(status).map_err(|_| unreadable())?, body))
    }
}

impl Caller for Http {
    type Request = Vec<u8>;

    fn prepare(&self, draw: &mut Draw) -> Vec<u8> {
        self.request.filled(draw)
    }

    async fn call(&self, request: Vec<u8>) -> std::result::Result<Outcomes, Failure> {
        let (status, body) = self.exchange(&request).await.map_err(|error| failed(&error))?;
        let contains = |word: &[u8]| body.windows(word.len()).any(|found| found == word);
        let mut outcomes = Outcomes::default();
        match status {
            200 if contains(b"\"NOT_EXCLUDED\"") => outcomes[NOT_EXCLUDED] = 1,
            200 if contains(b"\"EXCLUDED\"") => outcomes[EXCLUDED] = 1,
            200 => return Err("UNREADABLE".to_owned()),
            _ => return Err(format!("HTTP_{status}")),
        }
        Ok(outcomes)
    }
}

/// One Redis connection; a call is a pipeline.
pub struct Redis {
    line: Mutex<Line>,
    pipeline: usize,
    keys: BlindKeys,
}

impl Redis {
    pub async fn open(target: &Target, pipeline: usize, keys: BlindKeys) -> Result<Self> {
        Ok(Self { line: Line::open(target).await?, pipeline, keys })
    }

    async fn exchange(&self, request: &[u8], gets_of_each: usize) -> Result<Outcomes> {
        let mut line = self.line.lock().await;
        line.io.write_all(request).await?;
        line.io.flush().await?;
        let mut outcomes = Outcomes::default();
        for _ in 0..self.pipeline {
            let mut found = false;
            for _ in 0..gets_of_each {
                let head = line.line().await?;
                let length = number(head.strip_prefix(b"$").ok_or_else(unreadable)?)?;
                if let Ok(length) = usize::try_from(length) {
                    found |= line.exactly(length + 2).await?.starts_with(b"1");
                }
            }
            outcomes[if found { EXCLUDED } else { NOT_EXCLUDED }] += 1;
        }
        Ok(outcomes)
    }
}

impl Caller for Redis {
    type Request = (BytesMut, usize);

    fn prepare(&self, draw: &mut Draw) -> Self::Request {
        let mut request = BytesMut::with_capacity(self.pipeline * 80);
        for _ in 0..self.pipeline {
            let person = draw.person();
            if draw.with.phone() {
                put_get(&mut request, &self.keys.phone(&person.phone));
            }
            if draw.with.document() {
                put_get(&mut request, &self.keys.national_id(person.national_id));
            }
        }
        (request, usize::from(draw.with.phone()) + usize::from(draw.with.document()))
    }

    async fn call(&self, (request, gets_of_each): Self::Request) -> std::result::Result<Outcomes, Failure> {
        self.exchange(&request, gets_of_each).await.map_err(|error| failed(&error))
    }
}

fn put_get(into: &mut BytesMut, key: &[u8; BLIND_BYTES]) {
    into.put_slice(b"*2\r\n$3\r\nGET\r\n$16\r\n");
    into.put_slice(key);
    into.put_slice(b"\r\n");
}

/// The blind indexes of `lookup_core/domain/blind.py`, for identifiers that are in normal form.
#[derive(Clone)]
pub struct BlindKeys {
    phone: Hmac,
    document: Hmac,
}

#[derive(Clone)]
struct Hmac {
    inner: Sha256,
    outer: Sha256,
}

impl BlindKeys {
    pub fn load(path: &Path) -> Result<Self> {
        Self::new(&std::fs::read(path)?).ok_or_else(unreadable)
    }

    fn new(keys: &[u8]) -> Option<Self> {
        let (phone, document) = keys.split_at_checked(KEY_BYTES)?;
        (document.len() == KEY_BYTES).then(|| Self { phone: Hmac::new(phone), document: Hmac::new(document) })
    }

    fn phone(&self, phone: &[u8; 10]) -> [u8; BLIND_BYTES] {
        self.phone.blind(&[b"nser/phone/1\0+254", &phone[1..]])
    }

    fn national_id(&self, number: [u8; 8]) -> [u8; BLIND_BYTES] {
        self.document.blind(&[b"nser/document/1\0national_id\0", &number])
    }
}

impl Hmac {
    fn new(key: &[u8]) -> Self {
        let keyed = |pad: u8| {
            let mut block = [pad; BLOCK_BYTES];
            block.iter_mut().zip(key).for_each(|(byte, key)| *byte ^= key);
            Sha256::new_with_prefix(block)
        };
        Self { inner: keyed(0x36), outer: keyed(0x5C) }
    }

    fn blind(&self, parts: &[&[u8]]) -> [u8; BLIND_BYTES] {
        let (mut inner, mut outer) = (self.inner.clone(), self.outer.clone());
        for part in parts {
            inner.update(part);
        }
        outer.update(inner.finalize());
        let mut blind = [0; BLIND_BYTES];
        blind.copy_from_slice(&outer.finalize()[..BLIND_BYTES]);
        blind
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `tests/unit/benchmarks/test_people_of_the_load.py` holds Python to the same values.
    #[test]
    fn blind_indexes_are_the_registers() {
        let keys = BlindKeys::new(&(0..64).collect::<Vec<u8>>()).unwrap();
        let hex = |bytes: [u8; BLIND_BYTES]| format!("{:032x}", u128::from_be_bytes(bytes));
        let vectors = include_str!("../blind.tsv");
        for line in vectors.lines().filter(|line| !line.starts_with('#')) {
            let columns: Vec<&str> = line.split('\t').collect();
            assert_eq!(hex(keys.phone(columns[0].as_bytes().try_into().unwrap())), columns[1]);
            assert_eq!(hex(keys.national_id(columns[2].as_bytes().try_into().unwrap())), columns[3]);
        }
    }
}
