//! `GET /openapi.json`: what the HTTP door takes and answers, for people and for generators of clients.

use std::sync::Arc;

use axum::http::request::Parts;
use axum::response::Response;
use bytes::Bytes;

use super::http::{Doors, json};

/// The document, as it stands in the source tree.
const DOCUMENT: &str = include_str!("../../openapi.json");

/// `GET /openapi.json`.
pub(crate) async fn openapi(_: Arc<Doors>, _: Parts, _: Bytes) -> Response {
    json(DOCUMENT)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use revocast_daemon::{Metrics, OPERATIONAL, RequestLimits};
    use serde_json::Value;

    use super::*;
    use crate::doors::http::{Porter, table};

    #[test]
    fn the_document_has_every_route_and_no_other() {
        let document: Value = serde_json::from_str(DOCUMENT).unwrap();
        let documented: BTreeSet<String> = document["paths"]
            .as_object()
            .unwrap()
            .iter()
            .flat_map(|(path, operations)| {
                let methods = operations.as_object().unwrap().keys();
                methods.map(move |method| format!("{} {path}", method.to_uppercase()))
            })
            .collect();
        let porter = Porter::new(&RequestLimits::default(), &Metrics::default());
        let routes = table(&porter).into_iter().map(|route| format!("{} {}", route.method, route.path));
        let operational = OPERATIONAL.into_iter().map(|path| format!("GET {path}"));
        assert_eq!(documented, routes.chain(operational).collect());
    }

    #[test]
    fn the_document_says_the_version_of_this_release_and_the_limits_of_the_code() {
        use revocast_messages::{Message, Question};

        let document: Value = serde_json::from_str(DOCUMENT).unwrap();
        assert_eq!(document["info"]["version"], env!("CARGO_PKG_VERSION"));
        let question = &document["components"]["schemas"]["Question"]["properties"];
        assert_eq!(question["certificates"]["maxItems"], Question::MAX_CERTIFICATES);
        assert_eq!(question["intermediates"]["maxItems"], Question::MAX_INTERMEDIATES);
        let limit = format!("{} bytes", Question::MAX_BYTES);
        assert!(
            document["components"]["responses"]["TooLarge"]["description"].as_str().unwrap().contains(&limit)
        );
    }
}
