//! A client that keeps and sends cookies as a browser does.

use std::net::SocketAddr;

use http::header::{CONTENT_TYPE, COOKIE, HeaderMap, HeaderValue, SET_COOKIE};
use http::{Method, Request, StatusCode};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Bytes;
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;

use crate::jar::Jar;

/// A browser with a jar of its own. Clones have a copy of the jar.
#[derive(Clone, Debug)]
pub struct Browser {
    address: SocketAddr,
    /// The cookies it sends.
    pub jar: Jar,
}

/// Adds headers in place of those of the same names.
fn say(to: &mut HeaderMap, headers: &[(&'static str, &str)]) {
    for (name, _) in headers {
        to.remove(*name);
    }
    for (name, value) in headers {
        to.append(*name, HeaderValue::from_str(value).expect("text that a header can hold"));
    }
}

/// A response, read to its end.
#[derive(Clone, Debug)]
pub struct Answer {
    /// Its status.
    pub status: StatusCode,
    /// Its headers.
    pub headers: HeaderMap,
    /// Its text.
    pub body: String,
}

impl Answer {
    /// The `Set-Cookie` headers.
    ///
    /// # Panics
    /// When one is not ASCII.
    #[must_use]
    pub fn set_cookies(&self) -> Vec<String> {
        let cookies = self.headers.get_all(SET_COOKIE).iter();
        cookies.map(|cookie| cookie.to_str().expect("a cookie is ASCII").to_owned()).collect()
    }
}

impl Browser {
    /// A browser without cookies that talks to this server.
    #[must_use]
    pub fn new(address: SocketAddr) -> Self {
        Self { address, jar: Jar::new() }
    }

    /// The same browser, at another address.
    #[must_use]
    pub fn at(self, address: SocketAddr) -> Self {
        Self { address, ..self }
    }

    /// Follows a link.
    pub async fn get(&mut self, path: &str) -> Answer {
        self.send(Method::GET, path, None).await
    }

    /// Sends a form.
    pub async fn post(&mut self, path: &str, form: &str) -> Answer {
        self.send(Method::POST, path, Some(form)).await
    }

    /// Sends a form with more headers, such as those that a browser adds by itself.
    ///
    /// # Panics
    /// When the server cannot be reached, or a header is none.
    pub async fn post_with(
        &mut self,
        path: &str,
        form: &str,
        headers: &[(&'static str, &str)],
    ) -> Answer {
        let mut request = self.request(Method::POST, path, Some(form));
        say(request.headers_mut(), headers);
        self.exchange(request).await
    }

    /// Asks for a page with more headers, such as those of a prefetch.
    ///
    /// # Panics
    /// When the server cannot be reached, or a header is none.
    pub async fn get_saying(&mut self, path: &str, headers: &[(&'static str, &str)]) -> Answer {
        let mut request = self.request(Method::GET, path, None);
        say(request.headers_mut(), headers);
        self.exchange(request).await
    }

    /// Sends these bytes as the only `Cookie` header, whatever the jar holds.
    ///
    /// # Panics
    /// When the server cannot be reached, or `HeaderValue` refuses the bytes.
    pub async fn get_with(&mut self, path: &str, cookies: &[&[u8]]) -> Answer {
        let mut request = self.request(Method::GET, path, None);
        request.headers_mut().remove(COOKIE);
        for cookie in cookies {
            let value = HeaderValue::from_bytes(cookie).expect("bytes that a header can hold");
            request.headers_mut().append(COOKIE, value);
        }
        self.exchange(request).await
    }

    /// Asks for a page's headers.
    pub async fn head(&mut self, path: &str) -> Answer {
        self.send(Method::HEAD, path, None).await
    }

    /// Follows a link to a page whose server may close the connection without an answer.
    pub async fn try_get(&mut self, path: &str) -> Option<Answer> {
        let request = self.request(Method::GET, path, None);
        self.try_exchange(request).await
    }

    /// Sends a form without fields to a page whose server may close the connection without an answer.
    pub async fn try_post(&mut self, path: &str) -> Option<Answer> {
        let request = self.request(Method::POST, path, None);
        self.try_exchange(request).await
    }

    async fn send(&mut self, method: Method, path: &str, form: Option<&str>) -> Answer {
        let request = self.request(method, path, form);
        self.exchange(request).await
    }

    fn request(&self, method: Method, path: &str, form: Option<&str>) -> Request<Full<Bytes>> {
        let mut request = Request::builder()
            .method(method)
            .uri(format!("http://{}{path}", self.address))
            .body(Full::from(form.unwrap_or_default().to_owned()))
            .expect("a path makes a request");
        if form.is_some() {
            let form = HeaderValue::from_static("application/x-www-form-urlencoded");
            request.headers_mut().insert(CONTENT_TYPE, form);
        }
        request.headers_mut().extend(self.jar.headers().clone());
        request
    }

    async fn exchange(&mut self, request: Request<Full<Bytes>>) -> Answer {
        self.try_exchange(request).await.expect("the server answers")
    }

    async fn try_exchange(&mut self, request: Request<Full<Bytes>>) -> Option<Answer> {
        let client = Client::builder(TokioExecutor::new()).build_http();
        let response = client.request(request).await.ok()?;
        let (parts, body) = response.into_parts();
        let body = body.collect().await.ok()?.to_bytes();
        let answer = Answer {
            status: parts.status,
            headers: parts.headers,
            body: String::from_utf8(body.to_vec()).expect("a body of text"),
        };
        self.jar.keep_all(&answer.headers);
        Some(answer)
    }
}
