package rules_test

func (x *exploration) check(from int, n *node, m move, next *node, c any) {}
func (x *exploration) checkState(to int, m move, next *node) {}
