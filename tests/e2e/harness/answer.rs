//! What the API server answers.

use axum::http::{Request, Response, header};
use kube::Client;
use kube::client::Body;
use serde_json::Value;

/// An answer, in the parts that a user sees.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    pub(crate) code: u16,
    /// The object, or the `Status` that says why not.
    pub(crate) body: Value,
    /// The texts of its `Warning` headers.
    pub(crate) warnings: Vec<String>,
}

impl Answer {
    /// Sends an object, or a patch.
    pub(crate) async fn to(client: &Client, request: Request<Body>) -> Result<Self, kube::Error> {
        let response = client.send(request).await?;
        let code = response.status().as_u16();
        let warnings = warnings(&response);
        let body = response.into_body().collect_bytes().await?;
        Ok(Self {
            code,
            body: serde_json::from_slice(&body).unwrap_or_default(),
            warnings,
        })
    }

    /// Whether it is done, or would be in a dry run.
    pub(crate) fn is_allowed(&self) -> bool {
        (200..300).contains(&self.code)
    }

    /// What a `Status` says; empty for an object.
    pub(crate) fn message(&self) -> &str {
        self.body["message"].as_str().unwrap_or_default()
    }
}

/// `299 - "text"`, in which quotes and backslashes are escaped (RFC 7234 §5.5).
fn warnings(response: &Response<Body>) -> Vec<String> {
    let headers = response.headers().get_all(header::WARNING).iter();
    let texts = headers.map(|value| {
        let value = String::from_utf8_lossy(value.as_bytes());
        let text = value.split_once('"').map_or("", |(_, text)| text);
        unescaped(text.strip_suffix('"').unwrap_or(text))
    });
    texts.collect()
}

fn unescaped(text: &str) -> String {
    let mut letters = text.chars();
    let mut plain = String::new();
    while let Some(letter) = letters.next() {
        plain.extend(if letter == '\\' {
            letters.next()
        } else {
            Some(letter)
        });
    }
    plain
}
