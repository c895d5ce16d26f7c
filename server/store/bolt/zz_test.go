package bolt
import ("testing";"fmt";"os";"sync";"sync/atomic";"math/rand/v2";"time";"log/slog"
 storev1 "github.com/goodship/goodship/gen/go/goodship/store/v1"
 v1 "github.com/goodship/goodship/gen/go/goodship/v1"
 "google.golang.org/protobuf/types/known/timestamppb"
 "github.com/goodship/goodship/server/store"
 "strings"
)
func TestZZ(t *testing.T){
 path:=os.Getenv("ZZ"); st,err:=Open(path,Options{Log:slog.New(slog.DiscardHandler)}); if err!=nil{t.Fatal(err)}
 defer st.Close()
 const ws="work_06d8m2k5e1s6f8q3r4t5v6w7x8"
 n:=50000
 var id atomic.Uint64
 for _, withID := range []bool{true,false} { for _, from := range []int{0, n-n/100*10} {
 b:=st.db.Stats(); batches:=0
 var done atomic.Int64
 start:=time.Now(); var wg sync.WaitGroup
 for range 64 { wg.Go(func(){ for time.Since(start)<2*time.Second {
   c:=fmt.Sprintf("conv_06d8m2k5e1%016d",(from+rand.IntN(n-from))/10*10)
   once:=store.Once{Conversation:c}; if withID {once.RequestID=fmt.Sprint("r",id.Add(1),start)}
   _,err:=st.Update(t.Context(),ws,once,func(tx store.Tx)(*storev1.Receipt,error){
     h,err:=tx.Conversation(c); if err!=nil{return nil,err}
     k:=h.Conversation; k.Revision++;k.PublicRevision++;k.MessageCount++; k.ActivityTime=timestamppb.New(tx.Now())
     r:=&storev1.Record{Events:[]*v1.Event{{Revision:k.Revision,PublicRevision:k.PublicRevision,Time:k.ActivityTime,Kind:&v1.Event_MessageSent{MessageSent:&v1.MessageSent{Number:k.MessageCount}}}},
       Message:&v1.Message{ConversationId:c,Number:k.MessageCount,Text:strings.Repeat("It stops. ",20)},MessageCount:k.MessageCount}
     return &storev1.Receipt{ConversationId:c}, tx.Append(store.Change{Head:h,Record:r})
   }); if err!=nil{t.Error(err)}; done.Add(1)
 }})}
 wg.Wait(); _ = batches
 a:=st.db.Stats(); d:=a.TxStats.Sub(&b.TxStats); N:=float64(done.Load())
 t.Logf("id=%v from=%d: %.0f/s spill %.2f split %.2f write %.2f pages %.2f rebal %.2f per append",withID,from,N/2,float64(d.GetSpill())/N,float64(d.GetSplit())/N,float64(d.GetWrite())/N,float64(d.GetPageCount())/N, float64(d.GetRebalance())/N)
 }}
}
