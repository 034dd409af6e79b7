//! Test support: a network on which HTTP connections break again and again.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Waker};

use conclave_proto::hello::Role;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::support::World;
use crate::transport::{BoxFuture, Connection, HttpStream, Transport, TransportError};

/// Bytes that a connection carries in one direction before it is cut.
const CUT_AFTER: usize = 200_000;

/// A way on which HTTP connections break after a while.
#[derive(Debug)]
pub(crate) struct Cutting {
    inner: Arc<dyn Transport>,
    cuts: Arc<AtomicUsize>,
}

impl Cutting {
    pub(crate) fn new(world: &World) -> (Arc<Self>, Arc<AtomicUsize>) {
        let cuts = Arc::<AtomicUsize>::default();
        let inner = world.transport();
        (
            Arc::new(Self {
                inner,
                cuts: cuts.clone(),
            }),
            cuts,
        )
    }
}

impl Transport for Cutting {
    fn connect(&self, role: Role) -> BoxFuture<'_, Result<Arc<dyn Connection>, TransportError>> {
        self.inner.connect(role)
    }

    fn http(&self) -> BoxFuture<'_, Result<Box<dyn HttpStream>, TransportError>> {
        Box::pin(async {
            let inner = self.inner.http().await?;
            Ok(Box::new(Cut {
                inner,
                left: [CUT_AFTER; 2],
                cuts: self.cuts.clone(),
                reader: None,
            }) as Box<dyn HttpStream>)
        })
    }
}

struct Cut {
    inner: Box<dyn HttpStream>,
    /// Bytes left to read and to write.
    left: [usize; 2],
    cuts: Arc<AtomicUsize>,
    /// Whoever waits to read hears of the end too, as from a socket.
    reader: Option<Waker>,
}

impl Cut {
    fn broken<T>(&mut self) -> Poll<io::Result<T>> {
        if let Some(reader) = self.reader.take() {
            reader.wake();
        }
        self.cuts.fetch_add(1, Ordering::SeqCst);
        Poll::Ready(Err(io::ErrorKind::ConnectionReset.into()))
    }
}

impl AsyncRead for Cut {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.left.contains(&0) {
            return self.broken();
        }
        self.reader = Some(context.waker().clone());
        let before = buffer.filled().len();
        let polled = Pin::new(&mut self.inner).poll_read(context, buffer);
        let read = buffer.filled().len() - before;
        self.left[0] = self.left[0].saturating_sub(read);
        polled
    }
}

impl AsyncWrite for Cut {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        if self.left.contains(&0) {
            return self.broken();
        }
        let now = bytes.len().min(self.left[1]);
        let polled = Pin::new(&mut self.inner).poll_write(context, &bytes[..now]);
        if let Poll::Ready(Ok(written)) = polled {
            self.left[1] -= written;
        }
        polled
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(context)
    }
}
