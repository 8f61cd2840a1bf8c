//! What a processor's caches and its branch prediction hold, where the clock models them.

use crate::cycles::cache::PrivateCaches;
use crate::cycles::parts::Parts;
use crate::cycles::predictor::Predictor;
use crate::cycles::table::Table;
use serde::{Deserialize, Serialize};

/// Caches and branch prediction of one processor: state like its registers, since the time of what follows depends on it.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Micro {
    /// The caches that it has for itself, if they are modelled.
    pub caches: Option<Box<PrivateCaches>>,
    /// Its branch prediction, if that is modelled.
    pub predictor: Option<Box<Predictor>>,
}

impl Micro {
    /// After power-on: nothing is cached and nothing known.
    pub fn new(table: &Table, parts: Parts) -> Self {
        Self {
            caches: parts.caches.then(|| Box::new(PrivateCaches::new(&table.caches))),
            predictor: parts.branches.then(|| Box::new(Predictor::new(&table.branches))),
        }
    }

    /// What of it there is.
    pub fn parts(&self) -> Parts {
        Parts { caches: self.caches.is_some(), branches: self.predictor.is_some() }
    }

    /// Whether any of it is modelled: then instructions run one by one.
    #[inline(always)]
    pub fn any(&self) -> bool {
        self.caches.is_some() || self.predictor.is_some()
    }

    /// Whether `other` is of the same parts and sizes, and can be this one's state.
    pub fn is_like(&self, other: &Self) -> bool {
        let caches = match (&self.caches, &other.caches) {
            (Some(this), Some(other)) => this.is_like(other),
            (this, other) => this.is_none() == other.is_none(),
        };
        let predictor = match (&self.predictor, &other.predictor) {
            (Some(this), Some(other)) => this.is_like(other),
            (this, other) => this.is_none() == other.is_none(),
        };
        caches && predictor
    }
}
