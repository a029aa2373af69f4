//! What the certificates that are asked about again and again are called: the SHA-256 of their octets, for the price of
//! comparing them.
//!
//! A place in a table of fixed size is found by the last octets, which belong to the signature; whoever is in it is told by
//! all of its octets. Who makes certificates whose places are the same makes them be hashed, as if there were no table.

use std::hash::{BuildHasher, RandomState};
use std::sync::{Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use revocast_pki::identity::CertId;

/// Certificates that are remembered at the most.
const PLACES: usize = 4_096;

/// Larger ones are not: about four times what certificates of the web have.
const MAX_OCTETS: usize = 4_096;

/// So many of the last octets say which place.
const TAIL: usize = 32;

type Place = Mutex<Option<(Bytes, CertId)>>;

/// Remembers at most 16 MiB of certificates.
pub(crate) struct CertIds {
    places: Box<[Place]>,
    keys: RandomState,
}

impl Default for CertIds {
    fn default() -> CertIds {
        CertIds { places: (0..PLACES).map(|_| Place::default()).collect(), keys: RandomState::new() }
    }
}

impl CertIds {
    /// What a certificate is called, if it is remembered.
    pub(crate) fn get(&self, der: &[u8]) -> Option<CertId> {
        let place = self.place(der);
        place.as_ref().filter(|(remembered, _)| remembered == der).map(|(_, id)| *id)
    }

    /// Remembers what a certificate is called, in the place of another.
    pub(crate) fn remember(&self, der: &Bytes, id: CertId) {
        if der.len() <= MAX_OCTETS {
            *self.place(der) = Some((der.clone(), id));
        }
    }

    fn place(&self, der: &[u8]) -> MutexGuard<'_, Option<(Bytes, CertId)>> {
        let tail = der.last_chunk::<TAIL>().map_or(der, |tail| tail);
        let place = self.keys.hash_one(tail) as usize % PLACES;
        // Each change leaves it whole.
        self.places[place].lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_certificate_is_told_by_all_of_its_octets_and_not_by_its_last_ones() {
        let ids = CertIds::default();
        let remembered = Bytes::from(vec![7; 1_000]);
        assert_eq!(ids.get(&remembered), None);
        ids.remember(&remembered, CertId::of(&remembered));
        assert_eq!(ids.get(&remembered), Some(CertId::of(&remembered)));
        for octet in [0, 500, 999] {
            let mut other = remembered.to_vec();
            other[octet] ^= 1;
            assert_eq!(ids.get(&other), None, "octet {octet}");
        }
        assert_eq!(ids.get(&remembered[1..]), None);
        assert_eq!(ids.get(&[]), None);
    }

    #[test]
    fn what_takes_a_place_takes_the_others_out_and_what_is_large_takes_none() {
        let ids = CertIds::default();
        let with_one_tail = |first: u8| Bytes::from([vec![first; 100], vec![0; TAIL]].concat());
        let (one, other) = (with_one_tail(1), with_one_tail(2));
        for der in [&one, &other] {
            ids.remember(der, CertId::of(der));
        }
        assert_eq!((ids.get(&one), ids.get(&other)), (None, Some(CertId::of(&other))));
        let large = Bytes::from(vec![1; MAX_OCTETS + 1]);
        ids.remember(&large, CertId::of(&large));
        assert_eq!(ids.get(&large), None);
    }
}
