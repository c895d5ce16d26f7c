package support

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	storev1 "github.com/goodship/goodship/gen/go/goodship/store/v1"
	goodshipv1 "github.com/goodship/goodship/gen/go/goodship/v1"
	"github.com/goodship/goodship/server/fault"
	"github.com/goodship/goodship/server/store"
	"github.com/goodship/goodship/server/support/apology"
	"github.com/goodship/goodship/server/support/rules"
	"google.golang.org/genproto/googleapis/type/money"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/proto"
)

const (
	// sampleCount is how many apologies a preview shows, and firstMissing how many customers it names who lack a value.
	sampleCount, firstMissing = 5, 10
	// affectedPage is how many affected customers are read at once.
	affectedPage = 1000
)

// PreviewApology shows what SendApology would do.
func (s *Service) PreviewApology(ctx context.Context, req *goodshipv1.PreviewApologyRequest) (*goodshipv1.PreviewApologyResponse, error) {
	workspace := callerFrom(ctx).Workspace
	r, err := s.store.Incident(ctx, workspace, req.IncidentId)
	if err != nil {
		return nil, orMissing(err, noIncident())
	}
	settings, err := s.settings(ctx, workspace)
	if err != nil {
		return nil, err
	}
	d, err := s.draftOf(r, settings)
	if err != nil {
		return nil, err
	}
	if err := s.checkDraft(ctx, workspace, d); err != nil {
		return nil, err
	}
	if err := d.checkPromise(settings, s.store.Now()); err != nil {
		return nil, err
	}
	reply := &goodshipv1.PreviewApologyResponse{Count: d.count, Total: d.total, PreviewToken: s.store.Sealer().Seal(previewPurpose(workspace), d.sum())}
	reply.Samples, err = s.samples(ctx, workspace, d)
	return reply, err
}

// draft is an apology that is about to be sent off.
type draft struct {
	record   *storev1.IncidentRecord
	template apology.Template
	facts    apology.Facts
	// count is how many get it, and total what their credits are worth; nil of basis points.
	count int32
	total *money.Money
}

// draftOf returns the apology of an incident as it would be sent off now.
func (s *Service) draftOf(r *storev1.IncidentRecord, settings *goodshipv1.Workspace) (*draft, error) {
	if sentOff(r) {
		return nil, fault.New(codes.FailedPrecondition, goodshipv1.ErrorReason_ERROR_REASON_APOLOGY_SENT,
			"The apology was sent off already. GetIncident tells how far it is; customers who are added get it too.")
	}
	d := &draft{record: r, count: r.Incident.Progress.Pending}
	if d.count == 0 {
		return nil, fault.New(codes.FailedPrecondition, goodshipv1.ErrorReason_ERROR_REASON_NOBODY_AFFECTED,
			"Nobody is affected yet. Add customers with AddAffectedCustomers first.")
	}
	if err := rules.CheckCurrency(r.Incident.Credit, settings.CurrencyCode); err != nil {
		return nil, err
	}
	var err error
	if d.total, err = totalOf(r.Incident.Credit, d.count); err != nil {
		return nil, err
	}
	template, violations := apology.Parse(r.Incident.Text)
	if len(violations) > 0 {
		return nil, badText(violations)
	}
	d.template, d.facts = template, s.factsOf(r, settings)
	return d, nil
}

// totalOf returns what the credits of so many are worth; nil of basis points.
func totalOf(credit *goodshipv1.CreditAmount, count int32) (*money.Money, error) {
	m := credit.GetMoney()
	if m == nil {
		return nil, nil
	}
	mills, err := rules.Mills(m)
	return rules.Money(m.CurrencyCode, mills*int64(count)), err
}

// factsOf returns what a text is held against.
func (s *Service) factsOf(r *storev1.IncidentRecord, settings *goodshipv1.Workspace) apology.Facts {
	f := apology.Facts{
		Credit: r.Incident.Credit, SettleBy: r.Incident.SettleByTime.AsTime().In(s.zone(settings)), NothingToDo: r.Incident.NothingToDo,
		Affected: int(r.Incident.Progress.Pending), Values: map[string]int{},
	}
	for _, p := range settings.ContactPoints {
		f.Contacts = append(f.Contacts, p.Value)
	}
	for field, count := range r.AttributeCounts {
		f.Values[field] = int(count)
	}
	return f
}

// sum returns what a preview token binds: all that was shown, and all that it was made of. The total follows from that.
func (d *draft) sum() []byte {
	i := d.record.Incident
	body, err := proto.MarshalOptions{Deterministic: true}.Marshal(&goodshipv1.Incident{
		Id: i.Id, Credit: i.Credit, SettleByTime: i.SettleByTime, Text: i.Text, NothingToDo: i.NothingToDo,
	})
	if err != nil {
		panic(err) // what the store holds
	}
	sum := sha256.Sum256(fmt.Appendf(body, "\x00%d\x00%d\x00%s", d.record.PreviewVersion, d.count, d.template.With(d.facts)))
	return sum[:]
}

// previewPurpose is what preview tokens of a workspace are sealed for.
func previewPurpose(workspace string) string { return "preview " + workspace }

// checkDraft refuses a text that may not be sent, and names the first of those for whom it cannot be written.
func (s *Service) checkDraft(ctx context.Context, workspace string, d *draft) error {
	violations := d.template.Check(d.facts)
	if len(violations) == 0 {
		return nil
	}
	missing, err := s.missing(ctx, workspace, d)
	if err != nil {
		return err
	}
	for i, v := range violations {
		if ids := missing[v.Missing]; len(ids) > 0 {
			violations[i].Description += " The first of them: " + strings.Join(ids, ", ") + "."
		}
	}
	return badText(violations)
}

// checkPromise refuses credits that the workspace does not give to so many, or by a day that has passed.
func (d *draft) checkPromise(settings *goodshipv1.Workspace, now time.Time) error {
	i := d.record.Incident
	if !i.SettleByTime.AsTime().After(now) {
		return fault.Field("incident.settle_by_time", "has passed: set another with UpdateIncident, and preview it again")
	}
	return belowCeiling(settings, i.Credit, d.count)
}

// missing returns the first customers who lack a value, by the fields that only some have.
func (s *Service) missing(ctx context.Context, workspace string, d *draft) (map[string][]string, error) {
	found := map[string][]string{}
	for _, field := range d.template.With(d.facts).Fields() {
		if have := d.facts.Values[field]; have < d.facts.Affected && (have > 0 || field == apology.Name) {
			found[field] = nil
		}
	}
	if len(found) == 0 {
		return nil, nil
	}
	full := func() bool {
		for field, ids := range found {
			if len(ids) < min(firstMissing, d.facts.Affected-d.facts.Values[field]) {
				return false
			}
		}
		return true
	}
	err := s.pending(ctx, workspace, d.record.Incident.Id, func(a *storev1.AffectedRecord) (bool, error) {
		if full() {
			return false, nil
		}
		for field, ids := range found {
			if a.Attributes[field] != "" || len(ids) == firstMissing {
				continue
			}
			id, err := s.customerID(ctx, workspace, a.CustomerKey)
			if err != nil {
				return false, err
			}
			found[field] = append(ids, id)
		}
		return true, nil
	})
	return found, err
}

// pending hands the affected customers whose apology is not written to fn, until it returns false.
func (s *Service) pending(ctx context.Context, workspace, incident string, fn func(*storev1.AffectedRecord) (bool, error)) error {
	after := ""
	for {
		page, next, err := s.store.Affected(ctx, workspace, incident, goodshipv1.ApologyState_APOLOGY_STATE_PENDING, after, affectedPage)
		if err != nil {
			return err
		}
		for _, a := range page {
			if more, err := fn(a); err != nil || !more {
				return err
			}
		}
		if after = next; after == "" {
			return nil
		}
	}
}

// customerID returns the product's id of a customer; empty if the customer was erased.
func (s *Service) customerID(ctx context.Context, workspace, key string) (string, error) {
	r, err := s.store.CustomerByKey(ctx, workspace, key)
	if errors.Is(err, store.ErrNotFound) {
		return "", nil
	}
	return r.GetCustomer().GetId(), err
}

// samples returns how the apology reads for some of those who get it.
func (s *Service) samples(ctx context.Context, workspace string, d *draft) ([]*goodshipv1.ApologySample, error) {
	template := d.template.With(d.facts)
	page, _, err := s.store.Affected(ctx, workspace, d.record.Incident.Id, goodshipv1.ApologyState_APOLOGY_STATE_PENDING, "", sampleCount)
	if err != nil {
		return nil, err
	}
	var all []*goodshipv1.ApologySample
	for _, a := range page {
		text, err := template.Render(a.Attributes)
		if err != nil { // who would be skipped
			text = "(none: " + err.Error() + ")"
		}
		id, err := s.customerID(ctx, workspace, a.CustomerKey)
		if err != nil {
			return nil, err
		}
		all = append(all, &goodshipv1.ApologySample{CustomerId: id, Text: text})
	}
	return all, nil
}

// belowCeiling refuses an apology to so many that would credit more than the workspace lets one incident.
func belowCeiling(w *goodshipv1.Workspace, credit *goodshipv1.CreditAmount, count int32) error {
	if points := credit.GetBasisPoints(); points > 0 {
		if ceiling := w.IncidentCeiling.GetBasisPoints(); points > ceiling {
			return aboveCeiling("basis_points", strconv.Itoa(int(ceiling)), strconv.Itoa(int(points)), " basis points each")
		}
		return nil
	}
	ceiling, err := rules.Mills(w.IncidentCeiling.GetMoney())
	if err != nil {
		return err
	}
	currency := credit.GetMoney().GetCurrencyCode()
	if w.IncidentCeiling.GetMoney().GetCurrencyCode() != currency { // the workspace has another since
		ceiling = 0
	}
	total, err := totalOf(credit, count)
	if err != nil {
		return err
	}
	mills, err := rules.Mills(total)
	if err != nil || mills > ceiling {
		return aboveCeiling("money", rules.Words(currency, ceiling), rules.Words(currency, mills), "")
	}
	return nil
}

func aboveCeiling(limit, ceiling, total, unit string) error {
	return fault.New(codes.PermissionDenied, goodshipv1.ErrorReason_ERROR_REASON_ABOVE_INCIDENT_CEILING,
		"The apology would credit %s%s, and the workspace's ceiling for one incident is %s%s. Credit less, or have an operator or a key with the scope ADMIN set incident_ceiling.", total, unit, ceiling, unit).
		With("limit", limit).With("ceiling", ceiling).With("total", total)
}

// previewFits refuses to send what the preview of a token did not show.
func (s *Service) previewFits(workspace, token string, d *draft) error {
	sum, err := s.store.Sealer().Open(previewPurpose(workspace), token)
	if err != nil {
		return fault.Field("preview_token", "was not made by PreviewApology here. Preview the apology, and send the token that comes with it")
	}
	if !slices.Equal(sum, d.sum()) {
		return fault.New(codes.Aborted, goodshipv1.ErrorReason_ERROR_REASON_PREVIEW_CHANGED,
			"What the preview showed has changed since. Preview the apology again, and send it with the new token.")
	}
	return nil
}
