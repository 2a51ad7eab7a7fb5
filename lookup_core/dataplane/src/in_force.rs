//! Which rules are in force: all of them. Everything that keeps a rule of SAFETY.md asks for it by a name of this module.
//!
//! The tests have a build of their own (`broken_plane.rs`) with another module in the place of this one, so that nothing
//! here has to be switched: the plane that is shipped knows of no rule that is not kept.

pub(crate) use crate::authentication::Kept as Admission;
pub(crate) use crate::budgets::Kept as Spending;
pub(crate) use crate::consistency::Kept as Freshness;
pub(crate) use crate::log::Kept as Noting;
pub(crate) use crate::rules::Kept as Checking;
