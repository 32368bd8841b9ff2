//! Does a server answer? Each probe speaks just enough of the protocol that a positive answer means "usable", where an
//! open port often only means "starting".

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::time::Duration;

use super::tls::CQL_USER;

const TIMEOUT: Duration = Duration::from_secs(2);

/// A question to a server on loopback.
#[derive(Debug, Clone, Copy)]
pub enum Probe {
    /// A metadata request that must name at least one broker.
    Kafka(u16),
    /// `PING`.
    Redis(u16),
    /// A login with the password of the first role, which Cassandra makes some time after it has begun to listen.
    Cql(u16),
}

impl Probe {
    /// Asks once.
    ///
    /// # Errors
    /// Whatever kept the server from answering well.
    pub fn ask(self) -> io::Result<()> {
        match self {
            Self::Kafka(port) => kafka(port),
            Self::Redis(port) => {
                redis_command(port, "PING").and_then(|answer| expect(answer == "PONG", &answer))
            }
            Self::Cql(port) => cql(port),
        }
    }
}

/// Sends one inline command to a Redis and returns its answer: a status without its `+`, a number without its `:`, or the body
/// of a bulk string.
///
/// # Errors
/// When the server cannot be reached or answers with an error.
pub fn redis_command(port: u16, command: &str) -> io::Result<String> {
    let mut stream = connect(port)?;
    stream.write_all(format!("{command}\r\n").as_bytes())?;
    let mut reader = BufReader::new(stream);
    let mut line = String::new();
    reader.read_line(&mut line)?;
    let line = line.trim_end();
    if let Some(status) = line.strip_prefix(['+', ':']) {
        return Ok(status.to_owned());
    }
    let Some(length) = line.strip_prefix('$').and_then(|length| length.parse().ok()) else {
        return Err(io::Error::other(format!("{command}: {line}")));
    };
    let mut body = vec![0; length];
    reader.read_exact(&mut body)?;
    String::from_utf8(body).map_err(io::Error::other)
}

/// Metadata, version 1, for all topics; the answer starts with the correlation id and the number of brokers.
fn kafka(port: u16) -> io::Result<()> {
    const REQUEST: [u8; 18] = [0, 0, 0, 14, 0, 3, 0, 1, 0, 0, 0, 7, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff];
    let mut stream = connect(port)?;
    stream.write_all(&REQUEST)?;
    let mut head = [0; 12];
    stream.read_exact(&mut head)?;
    let brokers = i32::from_be_bytes([head[8], head[9], head[10], head[11]]);
    expect(head[4..8] == REQUEST[8..12] && brokers > 0, "no broker in the metadata")
}

/// Frames of version 4: `STARTUP` is answered with `AUTHENTICATE`, and `AUTH_RESPONSE` with `AUTH_SUCCESS`.
fn cql(port: u16) -> io::Result<()> {
    const STARTUP: (u8, &[u8]) = (1, b"\x00\x01\x00\x0bCQL_VERSION\x00\x053.0.0");
    const AUTHENTICATE: u8 = 3;
    const AUTH_RESPONSE: u8 = 15;
    const AUTH_SUCCESS: u8 = 16;
    let mut stream = connect(port)?;
    let mut ask = |opcode: u8, body: &[u8]| -> io::Result<u8> {
        let mut frame = vec![4, 0, 0, 0, opcode];
        frame.extend_from_slice(&(body.len() as u32).to_be_bytes());
        frame.extend_from_slice(body);
        stream.write_all(&frame)?;
        let mut head = [0; 9];
        stream.read_exact(&mut head)?;
        let length = u32::from_be_bytes([head[5], head[6], head[7], head[8]]);
        io::copy(&mut (&mut stream).take(length.into()), &mut io::sink())?;
        Ok(head[4])
    };
    expect(ask(STARTUP.0, STARTUP.1)? == AUTHENTICATE, "not a CQL server that asks for a password")?;
    let token = format!("\0{CQL_USER}\0{CQL_USER}");
    let mut login = (token.len() as u32).to_be_bytes().to_vec();
    login.extend_from_slice(token.as_bytes());
    expect(ask(AUTH_RESPONSE, &login)? == AUTH_SUCCESS, "the first role is not there yet")
}

fn connect(port: u16) -> io::Result<TcpStream> {
    let stream = TcpStream::connect_timeout(&SocketAddr::from((Ipv4Addr::LOCALHOST, port)), TIMEOUT)?;
    stream.set_read_timeout(Some(TIMEOUT))?;
    stream.set_write_timeout(Some(TIMEOUT))?;
    Ok(stream)
}

fn expect(held: bool, otherwise: &str) -> io::Result<()> {
    if held { Ok(()) } else { Err(io::Error::other(otherwise.to_owned())) }
}
