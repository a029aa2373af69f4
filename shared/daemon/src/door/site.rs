//! [`Site`]: what is served at a door.

use std::convert::Infallible;
use std::sync::Arc;

use axum::Router;
use axum::http::{Method, Request};
use axum::response::Response;
use futures::future::{BoxFuture, Either, FutureExt};
use hyper::body::Incoming;
use hyper::service::Service;
use hyper_util::service::{TowerToHyperService, TowerToHyperServiceFuture};

/// A router, and perhaps one route that is looked at before it. Cheap to clone.
#[derive(Clone)]
pub struct Site {
    first: Option<Arc<First>>,
    router: TowerToHyperService<Router>,
}

struct First {
    method: Method,
    path: &'static str,
    answer: Box<Answer>,
}

type Answer = dyn Fn(Request<Incoming>) -> BoxFuture<'static, Response> + Send + Sync;

impl From<Router> for Site {
    fn from(router: Router) -> Site {
        Site { first: None, router: TowerToHyperService::new(router) }
    }
}

impl Site {
    /// Has requests of `method` for exactly `path` answered without the router. For the one route to which nearly all
    /// requests go, if what answers them takes less than to be found by a router (about a microsecond).
    #[must_use]
    pub fn with_first<A, F>(self, method: Method, path: &'static str, answer: A) -> Site
    where
        A: Fn(Request<Incoming>) -> F + Send + Sync + 'static,
        F: Future<Output = Response> + Send + 'static,
    {
        let answer = Box::new(move |request| answer(request).boxed());
        Site { first: Some(Arc::new(First { method, path, answer })), ..self }
    }
}

impl Service<Request<Incoming>> for Site {
    type Response = Response;
    type Error = Infallible;
    type Future =
        Either<Sure<BoxFuture<'static, Response>>, TowerToHyperServiceFuture<Router, Request<Incoming>>>;

    fn call(&self, request: Request<Incoming>) -> Self::Future {
        match &self.first {
            Some(first) if request.uri().path() == first.path && *request.method() == first.method => {
                Either::Left((first.answer)(request).map(Ok))
            }
            _ => Either::Right(self.router.call(request)),
        }
    }
}

/// What cannot fail.
type Sure<F> = futures::future::Map<F, fn(Response) -> Result<Response, Infallible>>;
