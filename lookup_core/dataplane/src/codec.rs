//! Messages in and out. Bytes that are no message are a value here and not an error of the transport: what refuses them
//! names the field and the fix.

use std::marker::PhantomData;

use prost::Message;
use tonic::Status;
use tonic::codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};

/// A request as it arrived.
#[derive(Debug)]
pub enum Arrived<Request> {
    Whole(Request),
    Garbled,
}

/// Reads `Request`s and writes `Response`s.
pub struct Careful<Request, Response>(PhantomData<(Request, Response)>);

impl<Request, Response> Default for Careful<Request, Response> {
    fn default() -> Self {
        Self(PhantomData)
    }
}

impl<Request, Response> Codec for Careful<Request, Response>
where
    Request: Message + Default + 'static,
    Response: Message + 'static,
{
    type Encode = Response;
    type Decode = Arrived<Request>;
    type Encoder = Writing<Response>;
    type Decoder = Reading<Request>;

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

pub struct Reading<Request>(PhantomData<Request>);

impl<Request: Message + Default> Decoder for Reading<Request> {
    type Item = Arrived<Request>;
    type Error = Status;

    fn decode(&mut self, buffer: &mut DecodeBuf<'_>) -> Result<Option<Self::Item>, Status> {
        Ok(Some(Request::decode(buffer).map_or(Arrived::Garbled, Arrived::Whole)))
    }
}
