package bolt

// SetHooks sets what is asked at the points of a commit. It must be called before the store is used.
func SetHooks(s *Store, beforeApply, beforeCommit, afterCommit func() error) {
	s.hooks = hooks{beforeApply, beforeCommit, afterCommit}
}
