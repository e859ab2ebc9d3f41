package event

// FieldError says that a field of an event is missing or wrong.
type FieldError struct {
	// Field is the field's name, Value what was given for it.
	Field, Value string
	// Problem completes a sentence that begins with the field's name.
	Problem string
	// Allowed says what would have been right.
	Allowed string
}

func (e *FieldError) Error() string { return e.Field + " " + e.Problem }
