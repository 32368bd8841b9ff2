//! A TCP proxy that stands for a bad network: it can pass nothing on, or late, or slowly, and cut connections, without
//! stopping the server behind it.

use anyhow::Result;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, sleep_until};

/// A proxy to one server; it ends when it is dropped.
#[derive(Debug)]
pub struct Proxy {
    /// Where it listens.
    pub address: SocketAddr,
    network: watch::Sender<Network>,
    _tasks: JoinSet<()>,
}

/// How the network is.
#[derive(Debug, Clone, Copy, Default)]
struct Network {
    silent: bool,
    delay: Duration,
    /// Per connection and direction; 0 = as many as come.
    bytes_per_second: u32,
    /// How often all connections were cut.
    cuts: u64,
}

/// Chunks on their way in one direction of one connection: what a late network holds.
const ON_THE_WAY: usize = 256;

impl Proxy {
    /// Listens on any port of loopback and passes everything on to `server`.
    ///
    /// # Errors
    /// When it cannot listen.
    pub async fn start(server: String) -> Result<Self> {
        Self::start_at("127.0.0.1:0", server).await
    }

    /// Listens on `address` and passes everything on to `server`.
    ///
    /// # Errors
    /// When it cannot listen.
    pub async fn start_at(address: &str, server: String) -> Result<Self> {
        let listener = TcpListener::bind(address).await?;
        let (address, (network, seen)) = (listener.local_addr()?, watch::channel(Network::default()));
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((client, _)) = listener.accept().await {
                connections.spawn(connect(client, server.clone(), seen.clone()));
                while connections.try_join_next().is_some() {}
            }
        });
        Ok(Self { address, network, _tasks: tasks })
    }

    /// Passes nothing on from now on; what comes waits.
    pub fn silence(&self) {
        self.network.send_modify(|network| network.silent = true);
    }

    /// Passes on what waited, and everything else, at once.
    pub fn resume(&self) {
        self.network.send_modify(|network| *network = Network { cuts: network.cuts, ..Network::default() });
    }

    /// Passes everything on so much later, in each direction.
    pub fn delay(&self, delay: Duration) {
        self.network.send_modify(|network| network.delay = delay);
    }

    /// Passes on only so many bytes per second, of each connection and direction.
    pub fn throttle(&self, bytes_per_second: u32) {
        self.network.send_modify(|network| network.bytes_per_second = bytes_per_second);
    }

    /// Ends every connection there is; new ones are taken.
    pub fn cut(&self) {
        self.network.send_modify(|network| network.cuts += 1);
    }
}

async fn connect(client: TcpStream, server: String, mut network: watch::Receiver<Network>) {
    let cuts = network.borrow_and_update().cuts;
    let Ok(server) = TcpStream::connect(server).await else { return };
    let (from_client, to_client) = client.into_split();
    let (from_server, to_server) = server.into_split();
    // Either side's end is the end of both.
    tokio::select! {
        () = pass(from_client, to_server, network.clone()) => {}
        () = pass(from_server, to_client, network.clone()) => {}
        _ = network.wait_for(|network| network.cuts > cuts) => {}
    }
}

async fn pass(
    mut from: tokio::net::tcp::OwnedReadHalf,
    mut to: tokio::net::tcp::OwnedWriteHalf,
    mut network: watch::Receiver<Network>,
) {
    let (sender, mut chunks) = mpsc::channel::<(Instant, Vec<u8>)>(ON_THE_WAY);
    let read = async move {
        let mut buffer = vec![0; 64 * 1024];
        while let Ok(count @ 1..) = from.read(&mut buffer).await {
            if sender.send((Instant::now(), buffer[..count].to_vec())).await.is_err() {
                return;
            }
        }
    };
    let write = async move {
        while let Some((came, chunk)) = chunks.recv().await {
            // The error is that the proxy was dropped.
            let Ok(now) = network.wait_for(|network| !network.silent).await.map(|network| *network) else {
                return;
            };
            sleep_until(came + now.delay).await;
            if now.bytes_per_second > 0 {
                sleep(Duration::from_secs_f64(chunk.len() as f64 / f64::from(now.bytes_per_second))).await;
            }
            if to.write_all(&chunk).await.is_err() {
                return;
            }
        }
    };
    // What was read before the end is still passed on.
    tokio::join!(read, write);
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A proxy to a server that sends back what it gets.
    async fn before_an_echo() -> Result<(Proxy, JoinSet<()>)> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?.to_string();
        let mut server = JoinSet::new();
        server.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((mut stream, _)) = listener.accept().await {
                connections.spawn(async move {
                    let (mut from, mut to) = stream.split();
                    tokio::io::copy(&mut from, &mut to).await
                });
            }
        });
        Ok((Proxy::start(address).await?, server))
    }

    async fn echo(stream: &mut TcpStream) -> std::io::Result<[u8; 4]> {
        let mut answer = [0; 4];
        stream.write_all(b"ping").await?;
        stream.read_exact(&mut answer).await?;
        Ok(answer)
    }

    #[tokio::test]
    async fn a_cut_ends_every_connection_and_new_ones_are_taken() -> Result<()> {
        let (proxy, _server) = before_an_echo().await?;
        let mut stream = TcpStream::connect(proxy.address).await?;
        assert_eq!(&echo(&mut stream).await?, b"ping");
        proxy.cut();
        assert!(echo(&mut stream).await.is_err());
        assert_eq!(&echo(&mut TcpStream::connect(proxy.address).await?).await?, b"ping");
        Ok(())
    }

    #[tokio::test]
    async fn what_waits_in_silence_is_passed_on_late_but_whole() -> Result<()> {
        let (proxy, _server) = before_an_echo().await?;
        proxy.silence();
        let mut stream = TcpStream::connect(proxy.address).await?;
        let mut answer = Box::pin(echo(&mut stream));
        assert!(tokio::time::timeout(Duration::from_millis(100), &mut answer).await.is_err());
        proxy.resume();
        assert_eq!(&answer.await?, b"ping");
        proxy.delay(Duration::from_millis(5));
        proxy.throttle(1_000);
        assert_eq!(&echo(&mut stream).await?, b"ping");
        Ok(())
    }
}
