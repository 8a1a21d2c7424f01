//! Where rendered events go. Only this step writes.

pub mod stdout;
