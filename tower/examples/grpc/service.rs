//! The service, for the example, the tests and the measurement.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::stream::unfold;
use tokio::time::sleep;
use tokio_stream::Stream;
use tonic::{Request, Response, Status, Streaming};
use twinring_tower::Peer;

use super::pb::example_server::{Example, ExampleServer};
use super::pb::{Caller, CountRequest, Data, Delay, Nothing, Total};

/// The longest message that the two send each other, in bytes.
pub(crate) const LARGEST: usize = 80 << 20;

/// Told of each call that was given up before its answer was whole.
type Gone = Arc<dyn Fn(&'static str) + Send + Sync>;

pub(crate) struct Service {
    gone: Gone,
}

impl Service {
    pub(crate) fn new(gone: impl Fn(&'static str) + Send + Sync + 'static) -> Service {
        Service {
            gone: Arc::new(gone),
        }
    }

    pub(crate) fn into_server(self) -> ExampleServer<Service> {
        ExampleServer::new(self)
            .max_decoding_message_size(LARGEST)
            .max_encoding_message_size(LARGEST)
    }

    fn begin(&self, name: &'static str) -> Call {
        Call {
            name,
            gone: Some(self.gone.clone()),
        }
    }
}

/// A call in flight. tonic drops the handler of one that is cancelled.
struct Call {
    name: &'static str,
    gone: Option<Gone>,
}

impl Call {
    fn end(mut self) {
        self.gone = None;
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        if let Some(gone) = &self.gone {
            gone(self.name);
        }
    }
}

type Answers = Pin<Box<dyn Stream<Item = Result<Data, Status>> + Send>>;

#[tonic::async_trait]
impl Example for Service {
    type CountStream = Answers;
    type ChatStream = Answers;

    async fn echo(&self, request: Request<Data>) -> Result<Response<Data>, Status> {
        Ok(Response::new(request.into_inner()))
    }

    async fn wait(&self, request: Request<Delay>) -> Result<Response<Nothing>, Status> {
        let call = self.begin("Wait");
        sleep(milliseconds(request.get_ref().milliseconds)).await;
        call.end();
        Ok(Response::new(Nothing {}))
    }

    async fn count(&self, request: Request<CountRequest>) -> Result<Response<Answers>, Status> {
        let CountRequest {
            times,
            len,
            pause_milliseconds,
        } = request.into_inner();
        if len as usize > LARGEST {
            return Err(Status::out_of_range(format!("at most {LARGEST} bytes")));
        }
        let data = Bytes::from(vec![b'x'; len as usize]);
        let answers = unfold((0, self.begin("Count")), move |(sent, call)| {
            let data = data.clone();
            async move {
                if sent == times {
                    call.end();
                    return None;
                }
                if sent > 0 && pause_milliseconds > 0 {
                    sleep(milliseconds(pause_milliseconds)).await;
                }
                Some((Ok(Data { data }), (sent + 1, call)))
            }
        });
        Ok(Response::new(Box::pin(answers)))
    }

    async fn sum(&self, request: Request<Streaming<Data>>) -> Result<Response<Total>, Status> {
        let call = self.begin("Sum");
        let mut messages = request.into_inner();
        let mut total = Total::default();
        while let Some(message) = messages.message().await? {
            total.messages += 1;
            total.bytes += message.data.len() as u64;
        }
        call.end();
        Ok(Response::new(total))
    }

    async fn chat(&self, request: Request<Streaming<Data>>) -> Result<Response<Answers>, Status> {
        let begun = (request.into_inner(), Some(self.begin("Chat")));
        let answers = unfold(begun, async |(mut messages, call)| {
            let call = call?;
            match messages.message().await {
                Ok(Some(message)) => Some((Ok(message), (messages, Some(call)))),
                Ok(None) => {
                    call.end();
                    None
                }
                Err(status) => Some((Err(status), (messages, None))),
            }
        });
        Ok(Response::new(Box::pin(answers)))
    }

    async fn who_am_i(&self, request: Request<Nothing>) -> Result<Response<Caller>, Status> {
        let peer = request.extensions().get::<Peer>();
        let peer = peer.ok_or_else(|| Status::internal("not called over a link"))?;
        let executable = peer.executable.as_ref();
        Ok(Response::new(Caller {
            pid: peer.pid,
            user: peer.user.to_string(),
            executable: executable.map_or_else(String::new, |path| path.display().to_string()),
        }))
    }
}

fn milliseconds(number: u32) -> Duration {
    Duration::from_millis(number.into())
}
