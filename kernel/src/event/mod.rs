//! Event sources and multiplexing: eventfd, timerfd, poll, select, epoll.
