//! Which service answers which path: lookups, health, and reflection only when it was asked for.

use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use http::{Request, Response};
use tokio::sync::watch;
use tonic::body::Body;
use tonic_health::server::{HealthReporter, HealthService};
use tower::Service;
use tower::util::BoxCloneSyncService;

use crate::lookups::Lookups;
use crate::service::LookupService;

/// What reflection tells, from `make protos`.
const DESCRIPTORS: &[u8] = include_bytes!("generated/descriptors.bin");

type Answering = Pin<Box<dyn Future<Output = Result<Response<Body>, Infallible>> + Send>>;
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
            lookups,
            others: self.clone(),
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

#[derive(Clone)]
pub struct OnConnection {
    lookups: LookupService,
    others: Routes,
}

impl Service<Request<Body>> for OnConnection {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Answering;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(())) // each of the services is always ready
    }

    fn call(&mut self, request: Request<Body>) -> Answering {
        let path = request.uri().path();
        if path.starts_with("/grpc.health.v1.Health/") {
            return self.others.health.call(request);
        }
        if let Some([v1, v1alpha]) = &mut self.others.reflection {
            if path.starts_with("/grpc.reflection.v1.ServerReflection/") {
                return v1.call(request);
            }
            if path.starts_with("/grpc.reflection.v1alpha.ServerReflection/") {
                return v1alpha.call(request);
            }
        }
        self.lookups.call(request)
    }
}
