//! Messages of a stream, in and out. Bytes that are no message are a value here and not an error of the transport: what
//! refuses them names the field and the fix.

use prost::Message;
use tonic::Status;
use tonic::codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};

use crate::proto::lookup::v1::{StreamCheckRequest, StreamCheckResponse};

/// A request as it arrived.
#[derive(Debug)]
pub enum Arrived {
    Whole(StreamCheckRequest),
    Garbled,
}

/// Reads requests and writes responses.
#[derive(Debug, Default)]
pub struct StreamCodec;

impl Codec for StreamCodec {
    type Encode = StreamCheckResponse;
    type Decode = Arrived;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        Self
    }

    fn decoder(&mut self) -> Self {
        Self
    }
}

impl Encoder for StreamCodec {
    type Item = StreamCheckResponse;
    type Error = Status;

    fn encode(&mut self, item: StreamCheckResponse, buffer: &mut EncodeBuf<'_>) -> Result<(), Status> {
        item.encode(buffer)
            .map_err(|_| Status::internal("the answer outgrew its buffer"))
    }
}

impl Decoder for StreamCodec {
    type Item = Arrived;
    type Error = Status;

    fn decode(&mut self, buffer: &mut DecodeBuf<'_>) -> Result<Option<Arrived>, Status> {
        Ok(Some(
            StreamCheckRequest::decode(buffer).map_or(Arrived::Garbled, Arrived::Whole),
        ))
    }
}
