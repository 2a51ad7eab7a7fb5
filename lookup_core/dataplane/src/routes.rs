//! Which service answers which path: lookups, health, and reflection only when it was asked for.

use std::convert::Infallible;
use std::future::Future;
use std::sync::Arc;
use std::task::{Context, Waker};

use bytes::Bytes;
use h2::RecvStream;
use h2::server::SendResponse;
use http::{Request, Response};
use tokio::sync::watch;
use tonic::body::Body;
use tonic_health::server::{HealthReporter, HealthService};
use tower::ServiceExt;
use tower::util::BoxCloneSyncService;

use crate::carried::{self, Incoming};
use crate::lookups::Lookups;
use crate::service::{LookupService, Unary};

/// What reflection tells, from `make protos`.
const DESCRIPTORS: &[u8] = include_bytes!("generated/descriptors.bin");

type Whole = BoxCloneSyncService<Request<Body>, Response<Body>, Infallible>;

/// The services of one runtime.
#[derive(Clone)]
pub struct Routes {
    lookups: Lookups,
    health: Whole,
    reflection: Option<[Whole; 2]>,
}

impl Routes {
    #[must_use]
    pub fn new(lookups: Lookups, health: &HealthReporter, reflection: bool) -> Self {
        let health = HealthService::from_health_reporter(health.clone());
        Self {
            lookups,
            health: Whole::new(tonic_health::pb::health_server::HealthServer::new(health)),
            reflection: reflection.then(reflections).flatten(),
        }
    }

    /// The services as one connection sees them. `is_ending` turns true when its streams are to end.
    #[must_use]
    pub fn on_connection(&self, is_ending: watch::Receiver<bool>) -> OnConnection {
        let lookups = LookupService {
            lookups: self.lookups.clone(),
            leaving: is_ending,
        };
        OnConnection {
            lookups: Arc::new(lookups),
            others: self.clone(),
        }
    }

    /// The service of a path that is not ours.
    fn of(&self, path: &str) -> Option<Whole> {
        let (service, _) = path.strip_prefix('/')?.split_once('/')?;
        match (service, &self.reflection) {
            ("grpc.health.v1.Health", _) => Some(self.health.clone()),
            ("grpc.reflection.v1.ServerReflection", Some([v1, _])) => Some(v1.clone()),
            ("grpc.reflection.v1alpha.ServerReflection", Some([_, v1alpha])) => Some(v1alpha.clone()),
            _ => None,
        }
    }
}

fn reflections() -> Option<[Whole; 2]> {
    let builder = || {
        tonic_reflection::server::Builder::configure()
            .register_encoded_file_descriptor_set(DESCRIPTORS)
            .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
    };
    Some([
        Whole::new(builder().build_v1().ok()?),
        Whole::new(builder().build_v1alpha().ok()?),
    ])
}

/// The services as one connection sees them.
pub struct OnConnection {
    lookups: Arc<LookupService>,
    others: Routes,
}

impl OnConnection {
    /// Answer one call, now where that can be, else on a task of this runtime.
    pub fn answer(&self, request: Request<RecvStream>, respond: SendResponse<Bytes>) {
        if let Some(unary) = Unary::at(request.uri().path()) {
            return begin(self.lookups.clone().answer(unary, request, respond));
        }
        let request = request.map(|body| Body::new(Incoming(body)));
        match self.others.of(request.uri().path()) {
            Some(other) => begin(carry(other.oneshot(request), respond)),
            None => begin(carry(self.lookups.clone().converse(request), respond)),
        }
    }
}

async fn carry(answering: impl Future<Output = Result<Response<Body>, Infallible>>, respond: SendResponse<Bytes>) {
    let Ok(response) = answering.await;
    carried::send(response, respond).await;
}

/// Most calls are answered without waiting for anything: no task is made for them. Who must wait is polled again by the
/// runtime, so it does not matter that nobody is woken before.
fn begin(answering: impl Future<Output = ()> + Send + 'static) {
    let mut answering = Box::pin(answering);
    if answering
        .as_mut()
        .poll(&mut Context::from_waker(Waker::noop()))
        .is_pending()
    {
        tokio::spawn(answering);
    }
}
