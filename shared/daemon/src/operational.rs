//! The operational doors of every service: `/livez`, `/readyz`, `/metrics`.

use std::net::SocketAddr;

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::get;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tracing::info;

use crate::run::Context;

/// `/livez` (the process runs), `/readyz` (503 with its reasons unless ready), `/metrics` (OpenMetrics).
pub fn router(context: &Context) -> Router {
    Router::new()
        .route("/livez", get(async || "alive\n"))
        .route("/readyz", get(readyz))
        .route("/metrics", get(metrics))
        .with_state(context.clone())
}

async fn readyz(State(context): State<Context>) -> impl IntoResponse {
    let ready = context.health.is_ready();
    let status = if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, axum::Json(serde_json::json!({ "ready": ready, "reasons": context.health.reasons() })))
}

async fn metrics(State(context): State<Context>) -> impl IntoResponse {
    let kind = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    ([(header::CONTENT_TYPE, kind)], context.metrics.text())
}

/// Serves `router` at `address` until `stop`; returns the address that was bound (for port 0) and the serving.
pub async fn listen(
    address: SocketAddr,
    router: Router,
    stop: CancellationToken,
) -> std::io::Result<(SocketAddr, tokio::task::JoinHandle<std::io::Result<()>>)> {
    let listener = TcpListener::bind(address)
        .await
        .map_err(|error| std::io::Error::new(error.kind(), format!("cannot listen on {address}: {error}")))?;
    let bound = listener.local_addr()?;
    info!(%bound, "listening for HTTP");
    let serving = axum::serve(listener, router.into_make_service_with_connect_info::<SocketAddr>())
        .with_graceful_shutdown(stop.cancelled_owned());
    Ok((bound, tokio::spawn(async move { serving.await })))
}
