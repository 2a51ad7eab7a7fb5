//! Rust messages from a descriptor set, for `scripts/protos.py`: `codegen DESCRIPTORS INTO`.
//! The descriptors come from protoc as bundled in grpcio-tools, so that no protoc is needed on the machine.

use std::{env, error::Error, fs};

use prost::Message;
use prost_types::FileDescriptorSet;

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let [descriptors, into] = arguments.as_slice() else {
        return Err("usage: codegen DESCRIPTORS INTO".into());
    };
    let set = FileDescriptorSet::decode(fs::read(descriptors)?.as_slice())?;
    prost_build::Config::new().out_dir(into).bytes(["."]).compile_fds(set)?;
    Ok(())
}
