//! The tree of page tables: tables and pages shared by reference count, copied along the path that is written.
//!
//! - [`node`]: the protocol for one table: copying it (I3, I3b), releasing it;
//! - `cursor`: descending, and the rule that a node is made exclusive before it is written (I1);
//! - `zap`, `zap_objects`: detaching ranges; `shift`: moving them; `gather`: what a change made invalid, to be flushed and only then
//!   freed (I4);
//! - [`marks`]: what the processor's accessed marks say about TLBs (I18);
//! - `survey`: how far one gets in a bounded time;
//! - `entry`: the forms that an entry takes; [`audit`]: checking a whole tree, for tests.
//!
//! Every entry that is not empty holds one reference to the frame it points at. The root is held by its space.
//! Which locks a change needs: the space lock shared and the node's shard lock, or the space lock exclusively. Nodes with a
//! count above one are not changed by anybody, but for their write bits, which are only ever cleared there.

pub mod audit;
pub(crate) mod cursor;
pub(crate) mod entry;
pub(crate) mod gather;
pub(crate) mod huge;
pub mod marks;
pub mod node;
pub(crate) mod shift;
pub(crate) mod survey;
pub(crate) mod used;
pub(crate) mod zap;
mod zap_objects;
