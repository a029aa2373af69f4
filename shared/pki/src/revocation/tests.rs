//! Tests of revocation.
