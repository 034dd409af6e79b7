//! The client's transport against honest and hostile servers, over TLS and in memory.

#[cfg(test)]
mod hello;
#[cfg(test)]
mod memory;
#[cfg(test)]
mod tls;
