//! How questions of async-openai travel: by the project's own client, which has one TLS, one patience,
//! and keeps the key.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use async_openai::Client;
use async_openai::config::{Config, OpenAIConfig};
use async_openai::error::OpenAIError;
use async_openai::middleware::HttpRequestFactory;
use reqwest_013::Response;
use tower_service::Service;

use crate::service::JsonService;

/// Carries a question that async-openai made.
#[derive(Clone)]
struct Transport {
    service: Arc<JsonService>,
    base: String,
}

/// A client of async-openai that asks through `service`. Its futures never wait: they block.
pub(super) fn client(service: &Arc<JsonService>) -> Client<OpenAIConfig> {
    let base = service.address();
    // The key is added on the way: what does not have it cannot show it.
    let config = OpenAIConfig::default()
        .with_api_base(&base)
        .with_api_key("")
        .with_org_id("")
        .with_project_id("");
    let base = config.api_base().to_owned();
    Client::with_config(config).with_http_service(Transport { service: service.clone(), base })
}

impl Service<HttpRequestFactory> for Transport {
    type Response = Response;
    type Error = OpenAIError;
    type Future = Pin<Box<dyn Future<Output = Result<Response, OpenAIError>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), OpenAIError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, question: HttpRequestFactory) -> Self::Future {
        let Self { service, base } = self.clone();
        Box::pin(async move {
            let question = question.build().await?;
            let url = question.url().as_str();
            let path = url.strip_prefix(&base).unwrap_or_default().to_owned();
            let body = question.body().and_then(|body| body.as_bytes()).unwrap_or_default();
            let answer = service.post_bytes(&path, body);
            let answer = answer.map_err(|given_up| OpenAIError::Boxed(Box::new(given_up)))?;
            Ok(Response::from(http::Response::new(answer)))
        })
    }
}
