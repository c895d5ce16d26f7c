package servertest_test

import (
	"net/http"
	"os"
	"testing"

	"github.com/goodship/goodship/server/servertest"
)

func TestAServerWithoutATest(t *testing.T) {
	t.Setenv("TMPDIR", t.TempDir())
	s, stop := servertest.Start()
	if r := s.Do("customer/ada", "POST", "/v1/conversations", `{"text":"Ahoy"}`); r.Code != http.StatusOK {
		t.Errorf("HTTP %d %s", r.Code, r.Body)
	}
	if err := stop(); err != nil {
		t.Error(err)
	}
	if left, err := os.ReadDir(os.TempDir()); len(left) != 0 || err != nil {
		t.Errorf("it left %v, %v", left, err)
	}
}
