package login

import (
	"go.uber.org/zap"

	"xoauth2-proxy/internal/account"
	"xoauth2-proxy/upstream/internal/smtpclient"
)

// settleSize puts the SIZE in force that the operator gives for the provider, if any. It
// warns once of an endpoint that announces one which cannot be meant.
func (o *Opener) settleSize(offer *smtpclient.Offer, a *account.Account) {
	if a.AnnouncedSize > 0 {
		offer.Size = a.AnnouncedSize
	}
	if offer.OddSize == "" {
		return
	}
	if _, known := o.oddSizes.LoadOrStore(a.SMTP.String(), true); known {
		return
	}
	o.Log.Warn("provider announces a SIZE that cannot be meant; it is ignored", zap.String("upstream", a.SMTP.String()),
		zap.String("size", smtpclient.Cut(offer.OddSize)))
}
