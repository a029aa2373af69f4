//! The operational doors of every service: `/livez`, `/readyz`, `/metrics`.

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::get;

use crate::run::Context;

/// The paths of [`router`], all `GET`.
pub const OPERATIONAL: [&str; 3] = ["/livez", "/readyz", "/metrics"];

/// `/livez` (the process runs), `/readyz` (503 with its reasons unless ready), `/metrics` (OpenMetrics).
pub fn router(context: &Context) -> Router {
    let [livez, readiness, series] = OPERATIONAL;
    Router::new()
        .route(livez, get(async || "alive\n"))
        .route(readiness, get(readyz))
        .route(series, get(metrics))
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
