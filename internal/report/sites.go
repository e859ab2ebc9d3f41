package report

import (
	"context"
	"fmt"
	"slices"

	"github.com/daybook-analytics/daybook/internal/site"
	"github.com/daybook-analytics/daybook/internal/store"
)

// maxSites is the most sites of one answer: each has its own days to be read.
const maxSites = 100

var sitesEndpoint = endpoint{
	path:    "/stats/sites",
	summary: "The totals of all sites that have data or were added by their names, in a period, which is of each site's own time zone, in the order of their names. With a key of one site that site is all.",
	sample:  Sites{},
	params: slices.Concat(spanParams, []parameter{
		formatParam,
		numberParam("limit", fmt.Sprintf("the most sites; %d without it", defaultLimit), maxSites, func(q *query) *int { return &q.limit }),
		pageParam,
	}),
	months: true,
	run:    func(ctx context.Context, r *Report, q *query) (any, error) { return r.allSites(ctx, q) },
	table: func(answer any) [][]string {
		rows := [][]string{{"site_id", "from", "to", "timezone", "events", "views", "users", "users_error"}}
		for _, s := range answer.(*Sites).Sites {
			row := append([]string{s.Site}, s.cells(s.Timezone, s.Events, s.Views, s.Users, s.UsersError)...)
			rows = append(rows, row)
		}
		return rows
	},
}

// Sites is the answer of GET /stats/sites.
type Sites struct {
	Sites []SiteTotals `json:"sites" doc:"the sites of the page, by name"`
	More  bool         `json:"more" doc:"true: there are sites on the next page"`
	AsOf  *string      `json:"as_of"`
}

// SiteTotals is one site in Sites.
type SiteTotals struct {
	about
	Events     uint64  `json:"events" doc:"events of all types; exact"`
	Views      uint64  `json:"views" doc:"events of type page_view; exact"`
	Users      uint64  `json:"users" doc:"distinct users over the whole period; an estimate"`
	UsersError float64 `json:"users_error" doc:"the standard error of users, in users"`
	origin
}

// allSites gives the totals of the sites of a page.
func (r *Report) allSites(ctx context.Context, q *query) (*Sites, error) {
	names, more, err := r.siteNames(ctx, q)
	if err != nil {
		return nil, err
	}
	answer := &Sites{Sites: []SiteTotals{}, More: more}
	for _, name := range names {
		one := *q
		one.site = name
		if err := r.resolve(ctx, &one); err != nil {
			return nil, err
		}
		heads, err := r.heads(ctx, &one, one.span)
		if err != nil {
			return nil, err
		}
		p, err := r.read(ctx, &one, one.span, heads)
		if err != nil {
			return nil, err
		}
		users := p.sum().Users.Estimate()
		answer.Sites = append(answer.Sites, SiteTotals{
			about:  aboutOf(&one, p),
			Events: p.sum().Events, Views: p.sum().Views,
			Users: users, UsersError: usersError(users),
			origin: originOf(p),
		})
	}
	return answer, nil
}

// siteNames lists the sites of a page, and tells whether there are more.
func (r *Report) siteNames(ctx context.Context, q *query) (names []string, more bool, err error) {
	if q.only != "" {
		if q.page > 1 {
			return nil, false, nil
		}
		return []string{q.only}, false, nil
	}
	const step = 1000
	after, skip := "", (q.page-1)*q.limit
	for skip > 0 {
		skipped, err := r.sitesAfter(ctx, after, min(skip, step))
		if err != nil || len(skipped) == 0 {
			return nil, false, err
		}
		after = skipped[len(skipped)-1]
		skip -= len(skipped)
	}
	names, err = r.sitesAfter(ctx, after, q.limit+1)
	if err != nil || len(names) <= q.limit {
		return names, false, err
	}
	return names[:q.limit], true, nil
}

// sitesAfter lists up to limit sites that have data or were added by their
// names, in order, starting behind the name after.
func (r *Report) sitesAfter(ctx context.Context, after string, limit int) ([]string, error) {
	names, err := r.store.Sites(ctx, after, limit)
	if err != nil {
		return nil, err
	}
	added, err := r.addedAfter(ctx, after, limit)
	if err != nil {
		return nil, err
	}
	names = append(names, added...)
	slices.Sort(names)
	names = slices.Compact(names)
	return names[:min(limit, len(names))], nil
}

// addedAfter is sitesAfter for sites that were added by their names. Records
// that cannot be read are left out: the access package tells of them in the log.
func (r *Report) addedAfter(ctx context.Context, after string, limit int) (names []string, err error) {
	for {
		records, err := r.store.RecordsAfter(ctx, store.SiteKind, after, limit)
		if err != nil {
			return nil, fmt.Errorf("list the settings of sites: %w", err)
		}
		for _, record := range records {
			after = record.Name
			if settings, err := site.Parse(record); err == nil && settings.Added && len(names) < limit {
				names = append(names, record.Name)
			}
		}
		if len(records) < limit || len(names) == limit {
			return names, nil
		}
	}
}
