//! Tasks that wait one behind the other: what most policies keep, [`Line`].
//!
//! Its room is reserved ahead, so that nothing but [`Line::reserve`] allocates. Finding a task by its number, and choosing one
//! that is not at an end, is linear in the length.

use alloc::collections::VecDeque;

use super::TaskView;
use crate::task::TaskId;

/// A line of waiting tasks.
#[derive(Debug, Default)]
pub struct Line {
    tasks: VecDeque<TaskView>,
}

impl Line {
    /// Makes room for `total` tasks in all. Says whether there was memory.
    #[must_use]
    pub fn reserve(&mut self, total: usize) -> bool {
        self.tasks.try_reserve(total.saturating_sub(self.tasks.len())).is_ok()
    }

    /// `task` is next.
    pub fn push_front(&mut self, task: TaskView) {
        self.tasks.push_front(task);
    }

    /// `task` waits behind all others.
    pub fn push_back(&mut self, task: TaskView) {
        self.tasks.push_back(task);
    }

    /// Takes the task whose turn it is.
    pub fn pop_front(&mut self) -> Option<TaskView> {
        self.tasks.pop_front()
    }

    /// Takes the task with the smallest key; of several with the same key the one that comes first.
    pub fn take_least<K: Ord>(&mut self, key: impl Fn(&TaskView) -> K) -> Option<TaskView> {
        let least = (0..self.tasks.len()).min_by_key(|&i| key(&self.tasks[i]))?;
        self.tasks.remove(least)
    }

    /// Takes the task that `position` others are before.
    pub fn take(&mut self, position: usize) -> Option<TaskView> {
        self.tasks.remove(position)
    }

    /// Takes the first task that is `wanted`.
    pub fn take_first(&mut self, wanted: impl Fn(&TaskView) -> bool) -> Option<TaskView> {
        let position = self.tasks.iter().position(wanted)?;
        self.tasks.remove(position)
    }

    /// Takes the last task that is `wanted`.
    pub fn take_last(&mut self, wanted: impl Fn(&TaskView) -> bool) -> Option<TaskView> {
        let position = self.tasks.iter().rposition(wanted)?;
        self.tasks.remove(position)
    }

    /// Takes the task with this number.
    pub fn remove(&mut self, task: TaskId) -> Option<TaskView> {
        self.take_first(|queued| queued.id == task)
    }

    /// Has all of `others` wait behind those that are here.
    pub fn append(&mut self, others: &mut Self) {
        self.tasks.append(&mut others.tasks);
    }

    /// Who waits last.
    #[must_use]
    pub fn last(&self) -> Option<&TaskView> {
        self.tasks.back()
    }

    /// All of them, whose turn it is first.
    pub fn iter(&self) -> impl Iterator<Item = &TaskView> {
        self.tasks.iter()
    }

    /// All of them, to change what is remembered of them.
    pub fn iter_mut(&mut self) -> impl Iterator<Item = &mut TaskView> {
        self.tasks.iter_mut()
    }

    /// How many wait.
    #[must_use]
    pub fn len(&self) -> usize {
        self.tasks.len()
    }

    /// Whether nobody waits.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.tasks.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use arch::time::Nanos;

    use super::*;
    use crate::policy::Memory;

    fn view(id: u64, word: u64) -> TaskView {
        TaskView {
            id: TaskId(id),
            slot: 0,
            weight: 1024,
            batch: false,
            slice: Nanos::ZERO,
            memory: Memory([word, 0]),
        }
    }

    fn line(words: &[u64]) -> Line {
        let mut line = Line::default();
        assert!(line.reserve(words.len()));
        (0..).zip(words).for_each(|(id, &word)| line.push_back(view(id, word)));
        line
    }

    fn ids(line: &Line) -> Vec<u64> {
        line.iter().map(|task| task.id.0).collect()
    }

    #[test]
    fn tasks_leave_from_either_end_or_from_between() {
        let mut line = line(&[5, 3, 3, 9]);
        assert_eq!(line.take_least(|task| task.memory.0[0]).map(|task| task.id), Some(TaskId(1)));
        line.push_front(view(7, 0));
        assert_eq!(ids(&line), [7, 0, 2, 3]);
        assert_eq!(line.take_last(|task| task.memory.0[0] < 9).map(|task| task.id.0), Some(2));
        assert_eq!(line.take_first(|task| task.memory.0[0] > 5).map(|task| task.id.0), Some(3));
        assert_eq!(line.remove(TaskId(3)), None);
        assert_eq!(line.pop_front().map(|task| task.id.0), Some(7));
        assert_eq!((line.len(), line.is_empty()), (1, false));
    }

    #[test]
    fn a_line_joins_the_end_of_another() {
        let (mut first, mut second) = (line(&[1, 1]), line(&[2]));
        first.append(&mut second);
        assert_eq!(ids(&first), [0, 1, 0]);
        assert_eq!(first.last().map(|task| task.memory.0[0]), Some(2));
        assert!(second.is_empty());
    }
}
