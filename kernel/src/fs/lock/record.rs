//! The record locks of one file, as plain data (fcntl(2), "Advisory record locking").

use alloc::vec::Vec;
use core::ops::RangeInclusive;

use super::{LockKind, Owner};
use crate::errno::{Errno, Result};

/// A lock on a range of bytes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Record {
    /// The first byte.
    pub start: u64,
    /// The last byte, inclusive; `i64::MAX` for "to the end, wherever it is".
    pub end: u64,
    /// Shared or exclusive.
    pub kind: LockKind,
    /// Who has it.
    pub owner: Owner,
    /// The process that took it, for `F_GETLK`; -1 for locks of an open file description.
    pub pid: i32,
}

impl Record {
    fn overlaps(&self, range: &RangeInclusive<u64>) -> bool {
        self.start <= *range.end() && *range.start() <= self.end
    }

    /// Whether the two ranges leave no byte between them.
    fn touches(&self, other: &Self) -> bool {
        self.start <= other.end.saturating_add(1) && other.start <= self.end.saturating_add(1)
    }
}

/// The record locks of one file. The ranges of one owner never overlap, and those of one owner and kind never touch.
#[derive(Default)]
pub struct Records(Vec<Record>);

impl Records {
    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The lock with the lowest start that keeps `owner` from locking `range` as `kind`.
    pub fn conflict(
        &self,
        owner: Owner,
        range: &RangeInclusive<u64>,
        kind: LockKind,
    ) -> Option<Record> {
        self.0
            .iter()
            .filter(|record| record.owner != owner && record.overlaps(range))
            .filter(|record| kind == LockKind::Exclusive || record.kind == LockKind::Exclusive)
            .min_by_key(|record| record.start)
            .copied()
    }

    /// Locks the range of `wanted`, which conflicts with nothing, replacing what its owner had there.
    ///
    /// # Errors
    /// `ENOLCK` without memory; nothing has changed then.
    pub fn lock(&mut self, wanted: Record) -> Result<()> {
        self.unlock(wanted.owner, &(wanted.start..=wanted.end), 1)?;
        let mut merged = wanted;
        self.0.retain(|record| {
            let joins = record.owner == merged.owner
                && record.kind == merged.kind
                && record.touches(&merged);
            if joins {
                merged.start = merged.start.min(record.start);
                merged.end = merged.end.max(record.end);
            }
            !joins
        });
        self.0.push(merged);
        Ok(())
    }

    /// Takes `range` from the locks of `owner`, splitting them where need be, and leaves room for `spare` records.
    ///
    /// # Errors
    /// `ENOLCK` without memory; nothing has changed then.
    pub fn unlock(
        &mut self,
        owner: Owner,
        range: &RangeInclusive<u64>,
        spare: usize,
    ) -> Result<()> {
        // At most one record contains the whole range and is split in two.
        self.0.try_reserve(1 + spare).map_err(|_| Errno::ENOLCK)?;
        let mut split = None;
        self.0.retain_mut(|record| {
            if record.owner != owner || !record.overlaps(range) {
                return true;
            }
            let below = record.start < *range.start();
            let above = record.end > *range.end();
            if below && above {
                split = Some(Record { start: range.end() + 1, ..*record });
            }
            if below {
                record.end = range.start() - 1;
            } else if above {
                record.start = range.end() + 1;
            }
            below || above
        });
        self.0.extend(split);
        Ok(())
    }

    /// Drops every lock of `owner`.
    pub fn release(&mut self, owner: Owner) {
        self.0.retain(|record| record.owner != owner);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const BYTES: usize = 24;

    /// Per owner and byte: the kind of lock held.
    type Model = [[Option<LockKind>; BYTES]; 3];

    fn owner(index: usize) -> Owner {
        Owner::Table(index as u64)
    }

    fn model_conflicts(
        model: &Model,
        who: usize,
        start: usize,
        end: usize,
        kind: LockKind,
    ) -> bool {
        (0..3).filter(|other| *other != who).any(|other| {
            model[other][start..=end]
                .iter()
                .flatten()
                .any(|held| kind == LockKind::Exclusive || *held == LockKind::Exclusive)
        })
    }

    fn held(records: &Records, who: usize) -> [Option<LockKind>; BYTES] {
        let mut bytes = [None; BYTES];
        for record in records.0.iter().filter(|record| record.owner == owner(who)) {
            for byte in record.start..=record.end {
                let slot = &mut bytes[byte as usize];
                assert!(slot.is_none(), "locks of one owner overlap");
                *slot = Some(record.kind);
            }
        }
        bytes
    }

    proptest! {
        #[test]
        fn records_behave_like_a_lock_per_byte(
            steps in prop::collection::vec((0..3_usize, 0..BYTES, 0..BYTES, 0..3_u8), 1..60)
        ) {
            let mut records = Records::default();
            let mut model: Model = [[None; BYTES]; 3];
            for (who, a, b, action) in steps {
                let (start, end) = (a.min(b), a.max(b));
                let range = start as u64..=end as u64;
                let kind = match action {
                    0 => None,
                    1 => Some(LockKind::Shared),
                    _ => Some(LockKind::Exclusive),
                };
                let Some(kind) = kind else {
                    records.unlock(owner(who), &range, 0).expect("memory");
                    model[who][start..=end].fill(None);
                    continue;
                };
                let conflict = records.conflict(owner(who), &range, kind);
                prop_assert_eq!(conflict.is_some(), model_conflicts(&model, who, start, end, kind));
                if conflict.is_none() {
                    let (start, end) = (*range.start(), *range.end());
                    records.lock(Record { start, end, kind, owner: owner(who), pid: 1 }).expect("memory");
                    model[who][start as usize..=end as usize].fill(Some(kind));
                }
                for (other, modelled) in model.iter().enumerate() {
                    prop_assert_eq!(held(&records, other), *modelled);
                }
            }
        }
    }
}
