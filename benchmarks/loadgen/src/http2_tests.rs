use bytes::Bytes;
use http::{HeaderMap, Response};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};

use super::*;
use crate::arguments::With;
use crate::people::DEFAULT_SEED;

const EXCLUDED: &[u8] = b"\0\0\0\0\x04\x0A\x02\x08\x01";

fn session(size: usize) -> Session {
    let request = Request::new(false, "replica", "/a.Service/Check", Some(&[b'k'; 300]));
    Session::new(Question::Batch { size }, request)
}

fn draw() -> Draw {
    Draw::new(1_000, DEFAULT_SEED, With::Both, 7)
}

/// Answers each call as `answer` says, by a server that is not ours.
async fn serve(
    io: DuplexStream,
    window: u32,
    answer: impl Fn(usize, usize, &mut h2::server::SendResponse<Bytes>),
) {
    let mut connection =
        h2::server::Builder::new().initial_window_size(window).handshake::<_, Bytes>(io).await.unwrap();
    let mut number = 0;
    while let Some(call) = connection.accept().await {
        let (request, mut respond) = call.unwrap();
        assert_eq!(request.uri().to_string(), "http://replica/a.Service/Check");
        assert_eq!(request.headers()["authorization"].len(), 300);
        assert_eq!(request.headers()["te"], "trailers");
        let (mut body, mut length) = (request.into_body(), 0);
        let reading = async {
            while let Some(data) = body.data().await {
                let data = data.unwrap();
                length += data.len();
                body.flow_control().release_capacity(data.len()).unwrap();
            }
        };
        tokio::select! {
            () = reading => {}
            _ = std::future::poll_fn(|context| connection.poll_closed(context)) => return,
        }
        answer(number, length, &mut respond);
        number += 1;
    }
}

fn respond(respond: &mut h2::server::SendResponse<Bytes>, message: &[u8], code: &str) {
    let mut stream = respond.send_response(Response::new(()), false).unwrap();
    stream.send_data(Bytes::copy_from_slice(message), false).unwrap();
    let mut trailers = HeaderMap::new();
    trailers.insert("grpc-status", code.parse().unwrap());
    stream.send_trailers(trailers).unwrap();
}

/// Make `calls` calls, one after the other, and give their results.
async fn ask(session: &mut Session, io: &mut DuplexStream, calls: usize) -> Vec<Result<Outcomes, Failure>> {
    let (mut results, mut arrived, mut draw) = (Vec::new(), Vec::new(), draw());
    while results.len() < calls {
        if session.may_begin() && session.under_way() == 0 {
            session.begin(Instant::now(), &mut draw);
        }
        io.write_all(&std::mem::take(&mut session.out)).await.unwrap();
        if session.under_way() > 0 || !session.is_set() || session.is_over() {
            let read = io.read_buf(&mut arrived).await.unwrap();
            assert!(read > 0, "the server has gone");
            let taken = session.receive(&arrived, &mut |_, result| results.push(result)).unwrap();
            arrived.drain(..taken);
        }
    }
    results
}

#[tokio::test]
async fn a_server_that_is_not_ours_understands_every_call_and_is_understood() {
    let (mut ours, theirs) = tokio::io::duplex(1 << 16);
    let answering = serve(theirs, 65_535, |number, _, stream| match number {
        1 => respond(stream, EXCLUDED, "14"),
        2 => stream.send_reset(h2::Reason::CANCEL),
        3 => respond(stream, &EXCLUDED[..8], "0"),
        4 => respond(stream, b"", "0"),
        _ => respond(stream, EXCLUDED, "0"),
    });
    let asking = async { ask(&mut session(1), &mut ours, 100).await };
    let results = tokio::select! { results = asking => results, () = answering => panic!("it ended early") };
    let failures: Vec<_> = results.iter().filter_map(|result| result.as_ref().err()).collect();
    assert_eq!(failures, ["UNAVAILABLE", "RESET_CANCEL", "UNREADABLE", "UNREADABLE"]);
    assert_eq!(results[99], Ok([0, 1, 0, 0, 0, 0, 0, 0]));
}

#[tokio::test]
async fn a_large_message_goes_out_as_the_windows_open() {
    let (mut ours, theirs) = tokio::io::duplex(1 << 16);
    let answering = serve(theirs, 1_000, |_, length, stream| {
        assert_eq!(length, 5 + 28 * 10_000);
        respond(stream, EXCLUDED, "0");
    });
    let asking = async { ask(&mut session(10_000), &mut ours, 2).await };
    let results = tokio::select! { results = asking => results, () = answering => panic!("it ended early") };
    assert_eq!(results, [Err("WRONG_COUNT".to_owned()), Err("WRONG_COUNT".to_owned())]);
}

#[test]
fn a_ping_is_answered_and_a_goaway_ends_what_the_server_did_not_take() {
    let mut session = session(1);
    let settings = b"\0\0\0\x04\0\0\0\0\0";
    assert_eq!(session.receive(settings, &mut |_, _| ()), Ok(settings.len()));
    (0..3).for_each(|_| session.begin(Instant::now(), &mut draw()));
    session.out.clear();
    let ping = b"\0\0\x08\x06\0\0\0\0\0sequence";
    session.receive(ping, &mut |_, _| ()).unwrap();
    assert_eq!(session.out, b"\0\0\x08\x06\x01\0\0\0\0sequence");
    let mut failed = Vec::new();
    let goaway = b"\0\0\x08\x07\0\0\0\0\0\0\0\0\x03\0\0\0\0";
    session.receive(goaway, &mut |_, result| failed.push(result)).unwrap();
    assert_eq!((failed, session.under_way()), (vec![Err("TRANSPORT".to_owned())], 2));
    assert!(!session.may_begin() && session.is_over());
}

#[test]
fn a_server_whose_table_is_too_small_and_frames_that_are_cut_are_not_taken() {
    let small = b"\0\0\x06\x04\0\0\0\0\0\0\x01\0\0\0\0";
    assert_eq!(session(1).receive(small, &mut |_, _| ()), Err(Broken));
    let mut cut = session(1);
    assert_eq!(cut.receive(&small[..14], &mut |_, _| ()), Ok(0));
    assert_eq!(cut.receive(b"\0\0\x01\x08\0\0\0\0\0\0", &mut |_, _| ()), Err(Broken));
}
