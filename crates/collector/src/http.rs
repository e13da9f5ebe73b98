//! `/metrics` for Prometheus and `/healthz` for a load balancer.
//!
//! One thread, HTTP/1.1, `GET` and `HEAD`. A connection gets one answer and five seconds. Where more
//! connections are open than may be, the oldest is closed: a client that dawdles never keeps a probe
//! out. A connection that is opened and closed, as a TCP probe does, is nothing to speak of.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use http_body_util::Full;
use hyper::body::Bytes;
use hyper::header::{ALLOW, CONTENT_TYPE, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::TcpStream;
use tokio::sync::oneshot;
use tokio::task::AbortHandle;
use tokio::time::Instant;

use crate::{Accounting, Watch, metrics};

/// Connections that are open at most.
const CONNECTIONS: usize = 256;

/// Time for a request to come in.
const REQUEST: Duration = Duration::from_secs(2);

/// Time for request and answer together.
const CONNECTION: Duration = Duration::from_secs(5);

/// Bytes of a request, and lines of its header, at most.
const REQUEST_BYTES: usize = 16 << 10;
const HEADERS: usize = 64;

/// How long an answer of `/metrics` is given again, so that nobody can keep a belt busy with telling
/// its counters.
const FRESH: Duration = Duration::from_secs(1);

/// Pause after a connection that could not be accepted, as when all file descriptors are taken.
const PAUSE: Duration = Duration::from_millis(100);

/// What is told.
pub trait Status: Send + Sync + 'static {
    /// The counters now. May wait for a moment.
    fn accounting(&self) -> Accounting;

    /// Whether the collector does its work.
    ///
    /// # Errors
    ///
    /// Why not.
    fn health(&self) -> Result<(), String>;
}

impl Status for Watch {
    fn accounting(&self) -> Accounting {
        Self::accounting(self)
    }

    fn health(&self) -> Result<(), String> {
        Self::health(self)
    }
}

/// The server; it ends when this is dropped.
#[derive(Debug)]
pub struct Server {
    address: SocketAddr,
    /// Dropped to stop it.
    stop: Option<oneshot::Sender<Infallible>>,
    thread: Option<JoinHandle<()>>,
}

impl Server {
    /// Serves on a listener, which may have been bound while privileges were higher.
    ///
    /// # Errors
    ///
    /// The system has no more threads or file descriptors.
    pub fn start(listener: TcpListener, status: impl Status) -> io::Result<Self> {
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let (stop, stopped) = oneshot::channel::<Infallible>();
        let listener = {
            let _inside = runtime.enter();
            tokio::net::TcpListener::from_std(listener)?
        };
        let pages = Arc::new(Pages { status, metrics: Mutex::new(None) });
        let serve = move || {
            runtime.block_on(async {
                tokio::spawn(accept(listener, pages));
                // Nothing is ever sent: it comes back when the sender is dropped.
                let _ = stopped.await;
            });
        };
        let thread = thread::Builder::new().name("http".into()).spawn(serve)?;
        Ok(Self { address, stop: Some(stop), thread: Some(thread) })
    }

    /// Where it listens: with port 0 the system has chosen one.
    pub const fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            // A panic in there was printed, and there is nothing to save.
            let _ = thread.join();
        }
    }
}

async fn accept<S: Status>(listener: tokio::net::TcpListener, pages: Arc<Pages<S>>) {
    let mut open: VecDeque<AbortHandle> = VecDeque::with_capacity(CONNECTIONS);
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            tokio::time::sleep(PAUSE).await;
            continue;
        };
        if open.len() == CONNECTIONS {
            open.retain(|connection| !connection.is_finished());
        }
        if open.len() == CONNECTIONS
            && let Some(oldest) = open.pop_front()
        {
            oldest.abort();
        }
        let task = tokio::spawn(serve(stream, Arc::clone(&pages)));
        open.push_back(task.abort_handle());
    }
}

async fn serve<S: Status>(stream: TcpStream, pages: Arc<Pages<S>>) {
    let answer = service_fn(move |request| {
        let response = pages.respond(&request);
        async move { Ok::<_, Infallible>(response) }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(REQUEST)
        .max_buf_size(REQUEST_BYTES)
        .max_headers(HEADERS)
        .keep_alive(false)
        .serve_connection(TokioIo::new(stream), answer);
    // Whatever went wrong went wrong for the client.
    let _ = tokio::time::timeout(CONNECTION, connection).await;
}

struct Pages<S> {
    status: S,
    /// The last answer of `/metrics`.
    metrics: Mutex<Option<(Instant, Bytes)>>,
}

impl<S: Status> Pages<S> {
    fn respond<B>(&self, request: &Request<B>) -> Response<Full<Bytes>> {
        if !matches!(*request.method(), Method::GET | Method::HEAD) {
            let mut refused = page(StatusCode::METHOD_NOT_ALLOWED, "only GET and HEAD\n");
            refused.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
            return refused;
        }
        match request.uri().path() {
            "/metrics" => {
                let mut metrics = page(StatusCode::OK, self.metrics());
                let kind = HeaderValue::from_static(metrics::MEDIA_TYPE);
                metrics.headers_mut().insert(CONTENT_TYPE, kind);
                metrics
            }
            "/healthz" => match self.status.health() {
                Ok(()) => page(StatusCode::OK, "ok\n"),
                Err(why) => page(StatusCode::SERVICE_UNAVAILABLE, format!("{why}\n")),
            },
            _ => page(StatusCode::NOT_FOUND, "here are /metrics and /healthz\n"),
        }
    }

    fn metrics(&self) -> Bytes {
        let mut last = self.metrics.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((made, text)) = &*last
            && made.elapsed() < FRESH
        {
            return text.clone();
        }
        let text = Bytes::from(metrics::text(&self.status.accounting()));
        *last = Some((Instant::now(), text.clone()));
        text
    }
}

fn page(status: StatusCode, body: impl Into<Bytes>) -> Response<Full<Bytes>> {
    let mut page = Response::new(Full::new(body.into()));
    *page.status_mut() = status;
    page.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    page
}
