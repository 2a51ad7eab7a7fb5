//! Messages in and out. Bytes that are no message, or too many, are a value here and not an error of the transport:
//! what refuses them names the field and the fix.

use std::marker::PhantomData;

use bytes::Buf;
use prost::Message;
use tonic::Status;
use tonic::codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};

/// A request as it arrived.
#[derive(Debug)]
pub enum Arrived<Request> {
    Whole(Request),
    Garbled,
    TooLong(usize),
}

/// Reads `Request`s of at most `LARGEST` bytes and writes `Response`s.
pub struct Careful<Request, Response, const LARGEST: usize>(PhantomData<(Request, Response)>);

impl<Request, Response, const LARGEST: usize> Default for Careful<Request, Response, LARGEST> {
    fn default() -> Self {
        Self(PhantomData)
    }
}

impl<Request, Response, const LARGEST: usize> Codec for Careful<Request, Response, LARGEST>
where
    Request: Message + Default + 'static,
    Response: Message + 'static,
{
    type Encode = Response;
    type Decode = Arrived<Request>;
    type Encoder = Writing<Response>;
    type Decoder = Reading<Request, LARGEST>;

    fn encoder(&mut self) -> Self::Encoder {
        Writing(PhantomData)
    }

    fn decoder(&mut self) -> Self::Decoder {
        Reading(PhantomData)
    }
}

pub struct Writing<Response>(PhantomData<Response>);

impl<Response: Message> Encoder for Writing<Response> {
    type Item = Response;
    type Error = Status;

    fn encode(&mut self, item: Response, buffer: &mut EncodeBuf<'_>) -> Result<(), Status> {
        item.encode(buffer)
            .map_err(|_| Status::internal("the answer outgrew its buffer"))
    }
}

pub struct Reading<Request, const LARGEST: usize>(PhantomData<Request>);

impl<Request: Message + Default, const LARGEST: usize> Decoder for Reading<Request, LARGEST> {
    type Item = Arrived<Request>;
    type Error = Status;

    fn decode(&mut self, buffer: &mut DecodeBuf<'_>) -> Result<Option<Self::Item>, Status> {
        let length = buffer.remaining();
        if length > LARGEST {
            buffer.advance(length);
            return Ok(Some(Arrived::TooLong(length)));
        }
        Ok(Some(Request::decode(buffer).map_or(Arrived::Garbled, Arrived::Whole)))
    }
}
