package mongostore

import (
	"errors"
	"fmt"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/daybook-analytics/daybook/internal/store"
	"github.com/daybook-analytics/daybook/rollup"
)

// eventID is the key of a raw event. No site has a "|" in its name, so that
// no two events have the same.
func eventID(e *store.Event) string { return e.Site + "|" + e.ID }

// encodeEvent makes the document of a raw event. The user and the dimensions
// are left out where they are empty.
func encodeEvent(e *store.Event) (bson.Raw, error) {
	doc := bson.D{
		{Key: "_id", Value: eventID(e)},
		{Key: "site_id", Value: e.Site},
		{Key: "date", Value: e.Date},
		{Key: "stream", Value: e.Stream},
		{Key: "pos", Value: e.Position.String()},
		{Key: "ts", Value: bson.NewDateTimeFromTime(e.Time)},
	}
	if e.User != "" {
		doc = append(doc, bson.E{Key: "user", Value: e.User})
	}
	for dim, value := range e.Values {
		if value != "" {
			doc = append(doc, bson.E{Key: rollup.Dimension(dim).String(), Value: value})
		}
	}
	return bson.Marshal(doc)
}

// dimensionOf finds a dimension by its name.
var dimensionOf = func() map[string]rollup.Dimension {
	m := make(map[string]rollup.Dimension, rollup.NumDimensions)
	for dim := range rollup.NumDimensions {
		m[dim.String()] = dim
	}
	return m
}()

// decodeEvent reads the document of a raw event into e.
func decodeEvent(raw bson.Raw, e *store.Event) error {
	elements, err := raw.Elements()
	if err != nil {
		return err
	}
	*e = store.Event{}
	var id, pos string
	for _, element := range elements {
		name, value := element.Key(), element.Value()
		if name == "ts" {
			ms, ok := value.DateTimeOK()
			if !ok {
				return fmt.Errorf("field ts is no date but a %s", value.Type)
			}
			e.Time = time.UnixMilli(ms).UTC()
			continue
		}
		text, ok := value.StringValueOK()
		if !ok {
			return fmt.Errorf("field %s is no string but a %s", name, value.Type)
		}
		switch name {
		case "_id":
			id = text
		case "site_id":
			e.Site = text
		case "date":
			e.Date = text
		case "stream":
			e.Stream = text
		case "pos":
			pos = text
		case "user":
			e.User = text
		default:
			dim, ok := dimensionOf[name]
			if !ok {
				return fmt.Errorf("field %s is not known to this program", name)
			}
			e.Values[dim] = text
		}
	}
	if len(id) <= len(e.Site)+1 || id[:len(e.Site)] != e.Site {
		return errors.New("its _id is not its site and an ID")
	}
	e.ID = id[len(e.Site)+1:]
	e.Position, err = rollup.ParsePosition(pos)
	return err
}
