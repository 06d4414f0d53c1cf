//! What comes of requests, told without a daemon.
