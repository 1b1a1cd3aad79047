//! What every transport looks like to whoever uses it.

use crate::cell::Spec;
use crate::common::Result;

/// Sends on a link.
pub(crate) trait Sender: Send + Sized + 'static {
    fn send(&mut self, message: &[u8]) -> Result<()>;

    /// Sends what a sender of batches has gathered; called before an answer is waited for.
    fn flush(&mut self) -> Result<()> {
        Ok(())
    }

    /// One more for another thread, onto the same link; `None` if threads have to share this one
    /// under a lock.
    fn another(&self) -> Result<Option<Self>> {
        Ok(None)
    }
}

/// Receives from a link.
pub(crate) trait Receiver: Send + 'static {
    /// Waits for the next message and shows it: where it lies, if the transport can do so.
    fn recv(&mut self, read: impl FnOnce(&[u8])) -> Result<()>;

    /// The same for all that is there, if the transport takes it at once.
    fn recv_some(&mut self, mut read: impl FnMut(&[u8])) -> Result<()> {
        self.recv(|bytes| read(bytes))
    }
}

/// Something that carries messages between two processes, both ways.
pub(crate) trait Transport: 'static {
    type Tx: Sender;
    type Rx: Receiver;
    type Listener;

    /// Makes what a guest can find by the text.
    fn listen(&self, spec: &Spec) -> Result<(Self::Listener, String)>;
    /// Waits for the guest.
    fn accept(&self, listener: Self::Listener, spec: &Spec) -> Result<(Self::Tx, Self::Rx)>;
    fn connect(&self, token: &str, spec: &Spec) -> Result<(Self::Tx, Self::Rx)>;
}
