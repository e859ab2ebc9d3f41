package report

// ForgetAnswers lets a benchmark have its answers made again, from rollups
// that are in memory.
func (r *Report) ForgetAnswers() { r.answers = newLRU[string, []byte](r.answers.most) }

// ForgetAll lets it have the rollups read again too.
func (r *Report) ForgetAll() {
	r.ForgetAnswers()
	r.rollups = newRollupCache(r.rollups.lru.most)
}
