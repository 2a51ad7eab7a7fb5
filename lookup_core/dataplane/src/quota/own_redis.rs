//! A Redis of a test's own, which it may stop and kill. A machine without one fails the test; it is not skipped.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

/// As the embedded Redis has one.
const PASSWORD: &str = "of-a-test";

static COUNT: AtomicU32 = AtomicU32::new(0);

pub struct OwnRedis {
    folder: PathBuf,
    port: u16,
    child: Child,
}

impl OwnRedis {
    pub fn start() -> Self {
        let number = COUNT.fetch_add(1, Ordering::SeqCst);
        let folder = std::env::temp_dir().join(format!("nser-quota-{}-{number}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let child = launched(&folder, port);
        Self { folder, port, child }
    }

    pub fn url(&self) -> String {
        format!("redis://:{PASSWORD}@127.0.0.1:{}/3", self.port)
    }

    /// As redis-py writes it.
    pub fn socket_url(&self) -> String {
        format!(
            "unix://{}?db=3&password={PASSWORD}",
            self.folder.join("socket").display()
        )
    }

    pub fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    pub fn start_again(&mut self) {
        self.child = launched(&self.folder, self.port);
    }

    /// `STOP` or `CONT`.
    pub fn signal(&self, name: &str) {
        let sent = Command::new("kill")
            .args([format!("-{name}"), self.child.id().to_string()])
            .status();
        assert!(sent.unwrap().success());
    }
}

impl Drop for OwnRedis {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

/// The server that `NSER_TEST_REDIS_PROGRAM` names, else the machine's.
fn program() -> PathBuf {
    if let Some(named) = std::env::var_os("NSER_TEST_REDIS_PROGRAM") {
        return named.into();
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = ["redis-server", "valkey-server"].iter().find_map(|name| {
        std::env::split_paths(&path)
            .map(|folder| folder.join(name))
            .find(|file| file.is_file())
    });
    found.expect("no redis-server or valkey-server on PATH; name one in NSER_TEST_REDIS_PROGRAM")
}

fn launched(folder: &PathBuf, port: u16) -> Child {
    let mut child = Command::new(program())
        .args([
            "--bind",
            "127.0.0.1",
            "--port",
            &port.to_string(),
            "--unixsocket",
            "socket",
        ])
        .args(["--save", "", "--appendonly", "no", "--requirepass", PASSWORD])
        .current_dir(folder)
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let deadline = Instant::now() + Duration::from_secs(20);
    while !answers(port) {
        assert!(Instant::now() < deadline, "Redis did not start within 20 s");
        assert!(child.try_wait().unwrap().is_none(), "Redis ended at its start");
        std::thread::sleep(Duration::from_millis(20));
    }
    child
}

fn answers(port: u16) -> bool {
    let Ok(mut connection) = TcpStream::connect(("127.0.0.1", port)) else {
        return false;
    };
    let mut reply = [0; 12];
    let asked = connection.write_all(format!("AUTH {PASSWORD}\r\nPING\r\n").as_bytes());
    asked.and_then(|()| connection.read_exact(&mut reply)).is_ok() && &reply == b"+OK\r\n+PONG\r\n"
}
